"use strict";
// Sorting, themes and the list of clips. Nothing is fetched; what comes from elsewhere is set as text, never as markup.
(() => {
  const PAGE = 50;
  const ATTENTION_TOP = 2.4; // even shares at the top of a bar
  const collator = new Intl.Collator("en", { numeric: true });
  const byId = (id) => document.getElementById(id);

  // Characters that would hide or turn round what stands beside them are shown as escapes.
  const unseen = /(?![\n\t\u200c\u200d])[\p{C}\p{Zl}\p{Zp}]/gu;
  const escape = (number) => (number < 0x10000 ? `\\u${hex(number, 4)}` : `\\U${hex(number, 8)}`);
  const hex = (number, digits) => number.toString(16).padStart(digits, "0");
  const visible = (text) => String(text).replace(unseen, (letter) => escape(letter.codePointAt(0)));

  function make(name, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = visible(text);
    if (className) element.className = className;
    return element;
  }

  // ---- theme
  byId("theme").addEventListener("change", (event) => {
    if (event.target.value) document.documentElement.dataset.theme = event.target.value;
    else delete document.documentElement.dataset.theme;
  });

  // ---- sorting
  const isNumber = (text) => /^[+-]?\d+(\.\d+)?$/.test(text);

  function addSortButtons(table, onSort) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = make("button", head.textContent, "sort");
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("number") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        onSort(column, order === "ascending" ? 1 : -1, head);
      });
    });
  }

  function sortRows(table, column, sign) {
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [row.cells[column].textContent.trim(), row]);
    const numbers = keyed.every(([text]) => text === "-" || isNumber(text));
    keyed.sort(([a], [b]) => {
      if (a === "-" || b === "-") return (a === "-") - (b === "-"); // nothing known: always last
      return sign * (numbers ? Number(a) - Number(b) : collator.compare(a, b));
    });
    body.append(...keyed.map(([, row]) => row));
  }

  for (const table of document.querySelectorAll("table.sortable"))
    addSortButtons(table, (column, sign) => sortRows(table, column, sign));

  // ---- clips
  const data = JSON.parse(byId("clip-data").textContent);
  if (!data.views.length) return;
  const [cellPx, longestLine] = JSON.parse(byId("strip-cell").textContent); // of a filmstrip
  const form = byId("filters");
  const table = byId("clip-table");
  const body = table.tBodies[0];
  const section = byId("clips");
  for (const part of section.querySelectorAll("[hidden]")) part.hidden = false;
  byId("scriptless").remove();
  const percent = (share) => (share / 10).toFixed(1);
  const said = data.views.map((view) => new Map(view.clips.map((clip) => [clip[0], clip])));

  function fill(select, names) {
    const all = make("option", "all");
    all.value = "";
    select.replaceChildren(all, ...names.map(([value, name]) => {
      const option = make("option", name);
      option.value = value;
      return option;
    }));
  }

  const view = () => data.views[Number(form.elements.view.value)];
  const source = () => data.datasets[view().dataset];
  data.views.forEach((each, place) => {
    const option = make("option", each.name);
    option.value = place;
    form.elements.view.append(option);
  });

  let rows = [];
  let shown = [];
  let page = 0;
  let order = null; // at first the errors, the most confident ones on top

  function choose() { // another run: its classes, folds and rows
    const { classes, ids, labels } = source();
    const before = [form.elements.label.value, form.elements.guess.value, form.elements.fold.value];
    const named = classes.map((name, number) => [number, name]);
    fill(form.elements.label, named);
    fill(form.elements.guess, named);
    const folds = [...new Set(view().clips.map((clip) => clip[1]))].sort((a, b) => a - b);
    fill(form.elements.fold, folds.map((fold) => [fold, String(fold)]));
    ["label", "guess", "fold"].forEach((name, place) => {
      form.elements[name].value = before[place];
      if (form.elements[name].selectedIndex < 0) form.elements[name].value = "";
    });
    rows = view().clips.map(([clip, fold, guess, face, shares, attention]) => ({
      clip, fold, face, shares, attention, id: ids[clip], label: classes[labels[clip]], guess: classes[guess],
      labelNumber: labels[clip], guessNumber: guess, right: labels[clip] === guess, confidence: Math.max(...shares),
    }));
    update();
  }

  function update() {
    const { label, guess, fold, right, least, most, text } = form.elements;
    const low = 10 * (Number(least.value) || 0);
    const high = 10 * (most.value === "" ? 100 : Number(most.value));
    const words = text.value.trim().toLowerCase();
    const verdict = { "": () => true, right: (row) => row.right, wrong: (row) => !row.right, faceless: (row) => !row.face };
    shown = rows.filter((row) =>
      (label.value === "" || row.labelNumber === Number(label.value)) &&
      (guess.value === "" || row.guessNumber === Number(guess.value)) &&
      (fold.value === "" || row.fold === Number(fold.value)) &&
      verdict[right.value](row) && row.confidence >= low && row.confidence <= high &&
      row.id.toLowerCase().includes(words));
    if (order === null) shown.sort((a, b) => a.right - b.right || b.face - a.face || b.confidence - a.confidence);
    else {
      const [key, sign] = order;
      shown.sort((a, b) => sign * (typeof a[key] === "number" ? a[key] - b[key] : collator.compare(a[key], b[key])));
    }
    page = 0;
    draw();
  }

  function draw() {
    const start = page * PAGE;
    const end = Math.min(start + PAGE, shown.length);
    const total = shown.length.toLocaleString("en");
    byId("count").textContent = shown.length ? `${start + 1} to ${end} of ${total} clips` : "no clip is like that";
    byId("previous").disabled = page === 0;
    byId("next").disabled = end === shown.length;
    body.replaceChildren(...shown.slice(start, end).map(rowOf));
  }

  function rowOf(row) {
    const line = make("tr");
    const head = make("th", undefined, row.id.length > 24 ? "long" : "");
    head.scope = "row";
    const button = make("button", row.id, "clip");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => toggle(button, line, row));
    head.append(button);
    const mark = row.face ? (row.right ? "right" : "wrong") : "without a face: train prior";
    const guess = make("td", `${row.guess} `);
    guess.append(make("span", `(${mark})`, row.right ? "right" : "wrong"));
    line.append(head, make("td", row.label), guess, make("td", percent(row.confidence), "number"), make("td", row.fold, "number"));
    return line;
  }

  function toggle(button, line, row) {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) line.nextElementSibling.remove();
    else line.after(detailOf(row));
  }

  function detailOf(row) {
    const line = make("tr", undefined, "detail");
    const cell = make("td");
    cell.colSpan = 5;
    const inside = make("div", undefined, "inside"); // stays in sight where the table is wider than the window
    cell.append(inside);
    inside.append(filmOf(row));
    const sides = make("div", undefined, "sides");
    sides.append(probabilities(row), others(row));
    inside.append(sides);
    line.append(cell);
    return line;
  }

  function filmOf(row) { // the frames, and under each line of them how much attention they get
    const { dataset, frames: number } = view();
    const strip = byId(`strip-${dataset}-${row.clip}-${number}`);
    const film = make("div", undefined, "film");
    if (!strip) film.append(make("p", "No filmstrip of this clip in this file.", "hint"));
    const perLine = Math.min(longestLine, number);
    film.style.setProperty("--cells", perLine);
    film.style.maxWidth = `${1.5 * perLine * cellPx}px`;
    const ends = row.attention ? [] : [number]; // without it all lines stay one picture
    for (let end = perLine; !ends.includes(number); end += perLine) ends.push(Math.min(end, number));
    ends.forEach((end, line) => {
      const first = line * perLine;
      if (strip) film.append(frames(strip, row, first, end));
      if (row.attention) film.append(weights(row.attention, first, end));
    });
    if (row.attention) {
      const even = (100 / row.attention.length).toFixed(1);
      const text = `Per cent of the attention that each frame gets (dashed: an even share, ${even}). It is not an explanation.`;
      film.append(make("p", text, "hint"));
    }
    return film;
  }

  function frames(strip, row, first, end) { // a line of the filmstrip, or all of it
    const { frames: number } = view();
    const perLine = Math.min(longestLine, number);
    const numLines = Math.ceil(number / perLine);
    const isLine = row.attention !== undefined;
    const part = make("div", undefined, isLine ? "frames line" : "frames");
    const image = make("img");
    image.width = perLine * cellPx;
    image.height = numLines * cellPx;
    if (isLine) image.style.transform = `translateY(-${(100 * first) / perLine / numLines}%)`;
    const which = isLine ? `Frames ${first + 1} to ${end} of the ${number}` : `The ${number} aligned frames`;
    image.alt = `${which} of clip ${row.id}${isLine || numLines === 1 ? "" : `, ${perLine} per line`}`;
    image.src = `data:image/jpeg;base64,${strip.textContent.trim()}`;
    part.append(image);
    return part;
  }

  function weights(attention, first, end) { // bars of one scale for all clips, unless one frame gets more
    const top = Math.max((1000 * ATTENTION_TOP) / attention.length, ...attention);
    const list = make("ol", undefined, "weights");
    list.start = first + 1;
    list.setAttribute("aria-label", `Attention to frames ${first + 1} to ${end}`);
    const even = `${(100 * 1000) / attention.length / top}%`;
    for (const share of attention.slice(first, end)) {
      const item = make("li");
      const room = make("span", undefined, "room");
      const bar = make("span", undefined, "bar");
      bar.style.height = `${(100 * share) / top}%`;
      const mark = make("span", undefined, "even");
      mark.style.bottom = even;
      room.append(bar, mark);
      item.append(room, make("span", percent(share)));
      list.append(item);
    }
    return list;
  }

  function probabilities(row) {
    const part = make("div");
    const list = make("ul");
    const ranked = source().classes.map((name, number) => [row.shares[number], name]).sort((a, b) => b[0] - a[0]);
    for (const [share, name] of ranked) {
      const item = make("li");
      const meter = make("meter");
      meter.max = 1000;
      meter.value = share;
      meter.setAttribute("aria-label", name);
      item.append(meter, visible(`${percent(share)} % ${name}`));
      list.append(item);
    }
    part.append(make("h4", "Probabilities"), list);
    return part;
  }

  function others(row) {
    const part = make("div");
    const list = make("ul");
    data.views.forEach((other, place) => {
      const theirs = data.datasets[other.dataset];
      const clip = other.dataset === view().dataset ? row.clip : theirs.ids.indexOf(row.id);
      const answer = said[place].get(clip);
      if (other === view() || !answer || theirs.classes[theirs.labels[clip]] !== row.label) return;
      const name = theirs.classes[answer[2]];
      const item = make("li", `${other.name}: `);
      item.append(make("span", `${name}, ${percent(Math.max(...answer[4]))} %`, name === row.label ? "right" : "wrong"));
      list.append(item);
    });
    if (list.childElementCount) part.append(make("h4", "The other runs say"), list);
    return part;
  }

  function turn(step) {
    page += step;
    draw();
    section.querySelector(".pager").scrollIntoView({ block: "nearest" });
  }

  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => (event.target.name === "view" ? choose() : update()));
  form.addEventListener("reset", () => {
    const chosen = form.elements.view.value;
    setTimeout(() => {
      form.elements.view.value = chosen;
      update();
    });
  });
  addSortButtons(table, (column, sign, head) => {
    order = [head.dataset.key, sign];
    update();
  });
  for (const field of document.querySelectorAll("button.field"))
    field.addEventListener("click", () => {
      form.reset();
      setTimeout(() => {
        form.elements.view.value = data.views.findIndex((each) => each.name === field.dataset.view);
        choose();
        form.elements.label.value = field.dataset.label;
        form.elements.guess.value = field.dataset.guess;
        update();
        section.scrollIntoView();
        form.elements.label.focus({ preventScroll: true });
      });
    });
  choose();
})();
