// Sets the chosen colours before the first paint. A file of its own: the page allows no inline script.
(function () {
  try {
    var chosen = localStorage.getItem("tidegate.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // No storage: the system's colours apply.
  }
})();
