"use strict";
const get = id => document.getElementById(id), make = (tag, ...inside) => {
  const made = document.createElement(tag);
  made.append(...inside);
  return made;
};
const fold = text => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
const codes = JSON.parse(get("data").textContent), field = get("q"), status = get("status"), found = get("found");
const MOST = 30, FILLERS = 6, covered = status.textContent;
for (const code of codes) {
  code.folded = fold(code.name);
  code.words = code.fillers.map(fold);
}

// 0: the name starts with it, 1: the name holds it, 2: a filler starts with it, 3: a filler holds it
function rank(code, query, hits) {
  if (code.folded.startsWith(query)) return 0;
  if (code.folded.includes(query)) return 1;
  return hits.some(place => code.words[place].startsWith(query)) ? 2 : 3;
}

function find() {
  const query = fold(field.value.trim()).replace(/\s+/g, " ");
  found.replaceChildren();
  if (!query) { status.textContent = covered; return; }
  const results = [], words = query.split(" ");
  for (const code of codes) {
    const hits = [...code.words.keys()].filter(place => words.every(word => code.words[place].includes(word)));
    if (hits.length || code.folded.includes(query)) results.push({ code, hits, rank: rank(code, query, hits) });
  }
  results.sort((a, b) => a.rank - b.rank || b.hits.length - a.hits.length);
  const many = results.reduce((sum, result) => sum + result.hits.length, 0);
  const shown = results.length > MOST ? ", the first " + MOST + " are shown" : "";
  status.textContent = results.length
    ? results.length + (results.length === 1 ? " code, " : " codes, ") + many + (many === 1 ? " filler" : " fillers") + shown
    : "Nothing holds “" + field.value.trim() + "”. " + covered;
  for (const { code, hits } of results.slice(0, MOST)) {
    const link = make("a", make("bdi", code.name));
    link.href = code.page;
    const item = make("li", link, " ", make("small", code.use));
    if (hits.length) {
      const list = make("ul");
      list.className = "fillers";
      for (const place of hits.slice(0, FILLERS)) list.append(make("li", make("bdi", code.fillers[place])));
      if (hits.length > FILLERS) list.append(make("li", "and " + (hits.length - FILLERS) + " more"));
      item.append(list);
    }
    found.append(item);
  }
}

field.addEventListener("input", find);
field.form.addEventListener("submit", event => { event.preventDefault(); find(); });
field.addEventListener("keydown", event => { if (event.key === "Escape") { field.value = ""; find(); } });
const asked = new URLSearchParams(location.search).get("q");
if (asked) { field.value = asked; find(); field.focus(); }
