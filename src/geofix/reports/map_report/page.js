// Fills the list of one report; map.js draws the map. Text from the data only ever becomes textContent.
"use strict";

const report = JSON.parse(document.getElementById("report-data").textContent);
const fixes = report.fixes;

const MATCHES_ON_CARD = 5;
const RAMP = ["#dbe7f5", "#a9c8ea", "#6aa3dc", "#2f74bd", "#0f4a8a"]; // low to high score
// Encoders differ in the scores they give, so the ramp spans what this report holds.
const scores = fixes.flatMap((fix) => fix.matches.map((match) => match.score)).filter((score) => score !== null);
const RAMP_FROM = scores.reduce((low, score) => Math.min(low, score), scores[0] ?? 0);
const RAMP_TO = scores.reduce((high, score) => Math.max(high, score), scores[0] ?? 1);
const STATES = { located: "located", unknown: "can’t tell", error: "error" };

// Words

const percent = (fraction) => `${(100 * fraction).toFixed(fraction < 0.1 ? 1 : 0)} %`;
const latLon = (lat, lon) => `${lat.toFixed(6)}, ${lon.toFixed(6)}`;
const scoreText = (score) => (score === null ? "no score" : score.toFixed(3));

function metres(value) {
  if (value < 10) return `${value.toFixed(1)} m`;
  if (value < 1000) return `${Math.round(value)} m`;
  return `${(value / 1000).toFixed(value < 10000 ? 1 : 0)} km`;
}

function confidenceText(fix) {
  if (fix.calibrated) return [percent(fix.confidence), "calibrated: truth within 25 m"];
  return [fix.confidence.toFixed(2), "not calibrated: only an order"];
}

function answerText(fix) {
  if (fix.state === "error") return fix.error;
  return fix.reason || (fix.state === "unknown" ? "No reason was given." : "");
}

// Small pieces of the page

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(className, text, onClick) {
  const made = element("button", className, text);
  made.type = "button";
  made.addEventListener("click", (event) => {
    event.stopPropagation();
    onClick(made);
  });
  return made;
}

function picture(index, alt) {
  if (index === null) return element("span", "placeholder", "no picture");
  const image = element("img");
  image.src = `data:image/jpeg;base64,${report.pictures[index]}`;
  image.alt = alt;
  return image;
}

function numberDisc(match) {
  const share = match.score === null ? 0 : (match.score - RAMP_FROM) / (RAMP_TO - RAMP_FROM || 1);
  const step = Math.max(0, Math.min(RAMP.length - 1, Math.floor(share * RAMP.length)));
  const disc = element("span", "number", match.rank);
  disc.style.background = RAMP[step];
  disc.style.color = step < 3 ? "#10243a" : "#ffffff";
  return disc;
}

async function copyText(text, source, copyButton) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    window.getSelection().selectAllChildren(source);
    document.execCommand("copy"); // the only way where the page may not use the clipboard
  }
  copyButton.textContent = "Copied";
  window.setTimeout(() => { copyButton.textContent = "Copy"; }, 1500);
}

function openStreetMap(fix) {
  const at = `${fix.lat.toFixed(6)}`, to = `${fix.lon.toFixed(6)}`;
  window.open(`https://www.openstreetmap.org/?mlat=${at}&mlon=${to}#map=17/${at}/${to}`, "_blank", "noopener,noreferrer");
}

// Cards

function addFact(list, term, text, hint) {
  const value = element("dd", "", text);
  if (hint) value.append(" ", element("span", "hint", `(${hint})`));
  list.append(element("dt", "", term), value);
  return value;
}

function addPositionFacts(list, fix) {
  const value = addFact(list, "Position", "");
  const coordinates = element("span", "coordinates", latLon(fix.lat, fix.lon));
  const actions = element("div", "small-actions");
  const copy = button("", "Copy", (made) => copyText(coordinates.textContent, coordinates, made));
  copy.setAttribute("aria-label", `Copy the position of ${fix.name}`);
  const open = button("", "Open in OpenStreetMap", () => openStreetMap(fix));
  open.title = "Opens openstreetmap.org in a new tab and tells it this position";
  actions.append(copy, open);
  value.append(coordinates, actions);
  if (fix.radius_m !== null) addFact(list, "Radius", metres(fix.radius_m));
  addFact(list, "Confidence", ...confidenceText(fix));
  if (fix.heading_deg !== null) addFact(list, "Facing", `${Math.round(fix.heading_deg)}°`);
}

function addFacts(list, fix) {
  if (fix.lat !== null) addPositionFacts(list, fix);
  if (fix.truth && fix.truth.off_m !== null) addFact(list, "Truth", `${metres(fix.truth.off_m)} from the estimate`);
  else if (fix.truth) addFact(list, "Truth", latLon(fix.truth.lat, fix.truth.lon));
  const shares = (rows) => rows.map((row) => `${row.name} ${percent(row.probability)}`).join(", ");
  if (fix.countries.length) addFact(list, "Country", shares(fix.countries));
  if (fix.scene.length) addFact(list, "Scene", shares(fix.scene));
}

function matchItem(match, index, pictured) {
  const away = match.distance_m === null ? "" : metres(match.distance_m);
  const shown = button("match", undefined, () => select(index, match));
  const words = element("span", "match-text");
  words.append(numberDisc(match), scoreText(match.score));
  if (away) words.append(` · ${away}`);
  words.append(element("span", "match-name", match.name));
  if (pictured) shown.append(picture(match.picture, ""));
  shown.append(words);
  shown.title = match.folder + match.name;
  shown.setAttribute("aria-label", `Match ${match.rank}, ${match.name}, score ${scoreText(match.score)}`
    + `${away ? `, ${away} from the estimate` : ""}: show on the map`);
  const item = element("li");
  item.append(shown);
  return item;
}

function makeCard(fix, index) {
  const card = document.getElementById("card-template").content.cloneNode(true).firstElementChild;
  const part = (name) => card.querySelector(`.${name}`);
  card.id = `photo-${index + 1}`;
  card.dataset.state = fix.state;
  part("card-title").textContent = fix.name;
  part("folder").textContent = fix.folder;
  part("badge").textContent = STATES[fix.state];
  part("answer-text").textContent = answerText(fix);
  if (fix.pictured) part("query").append(picture(fix.picture, `Photo ${fix.name}`));
  addFacts(part("facts"), fix);
  const best = fix.matches.slice(0, MATCHES_ON_CARD);
  part("matches").append(...best.map((match) => matchItem(match, index, fix.pictured)));
  card.addEventListener("click", () => {
    if (window.getSelection().isCollapsed) select(index);
  });
  return card;
}

const cards = fixes.map(makeCard);
document.getElementById("cards").append(...cards);

// Filter

const filterButtons = [...document.querySelectorAll(".filter button")];

function listOnly(state) {
  const wanted = (card) => state === "all" || card.dataset.state === state;
  cards.forEach((card) => { card.hidden = !wanted(card); });
  filterButtons.forEach((made) => made.setAttribute("aria-pressed", String(made.dataset.state === state)));
  document.getElementById("nothing").hidden = cards.some(wanted);
}

filterButtons.forEach((made) => {
  const state = made.dataset.state;
  const count = state === "all" ? fixes.length : fixes.filter((fix) => fix.state === state).length;
  made.append(` (${count})`);
  made.addEventListener("click", () => listOnly(state));
});
listOnly("all");
