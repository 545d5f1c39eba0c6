// Brings the page up to date; without it the page loads itself anew.
(function () {
  "use strict";
  var main = document.getElementById("report");
  var gone = document.getElementById("gone");
  var misses = 0;
  function look() {
    fetch("/body", { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error(String(answer.status)); }
      return answer.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html");
      main.replaceChildren.apply(main, Array.from(fresh.body.childNodes));
      misses = 0;
    }).catch(function () {
      misses += 1;
    }).finally(function () {
      gone.classList.toggle("on", misses > 1);
      setTimeout(look, misses > 1 ? 5000 : 2000);
    });
  }
  setTimeout(look, 2000);
})();
