"use strict";
const text = document.getElementById("markdown"), said = document.getElementById("said");
document.getElementById("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(text.textContent);
    said.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(text);
    said.textContent = "It is selected now: copy it with Ctrl+C or Command+C.";
  }
});
