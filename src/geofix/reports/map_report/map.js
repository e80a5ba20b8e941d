// Draws the map of one report: backdrop, grid, and what is known of one photo or of all.
"use strict";

const outlines = JSON.parse(document.getElementById("outlines").textContent);
const STREET_ZOOM = 10; // from here on the coarse outlines would mislead
const WORLD = [[-56, -170], [75, 170]];
const GRID_STEPS_DEG = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001,
  0.0005, 0.0002, 0.0001, 0.00005, 0.00002, 0.00001];
const TILE_URL = "https://tile.openstreetmap.org/{z}/{x}/{y}.png"; // asked for only after a click
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// Backdrop, grid and scale

const map = L.map("map", { zoomSnap: 0.5, minZoom: 0.5, maxZoom: 21, zoomAnimation: !calm, fadeAnimation: !calm });
map.attributionControl.setPrefix(false).addAttribution("Leaflet · Natural Earth");
map.createPane("backdrop").style.zIndex = 150;
map.createPane("grid").style.zIndex = 250;
map.getPane("grid").style.pointerEvents = "none";
map.fitBounds(WORLD);
L.control.scale({ imperial: false }).addTo(map);

const backdrop = L.geoJSON(outlines, {
  pane: "backdrop",
  interactive: false,
  style: (feature) => ({ className: feature.properties.kind, weight: 1, fill: feature.properties.kind === "land" }),
});
const grid = L.layerGroup().addTo(map);
let tiles = null;

function drawGridLine(points, labelAt, text, edge) {
  L.polyline(points, { pane: "grid", className: "graticule", interactive: false }).addTo(grid);
  const icon = L.divIcon({ className: "map-icon", html: element("span", `graticule-label ${edge}`, text), iconSize: [0, 0] });
  L.marker(labelAt, { pane: "grid", icon, interactive: false, keyboard: false }).addTo(grid);
}

function gridStepDeg(spanDeg) {
  return [...GRID_STEPS_DEG].reverse().find((step) => spanDeg / step <= 6) || 90;
}

function drawGrid() {
  const view = map.getBounds(), wide = view.pad(0.3);
  const step = gridStepDeg(view.getEast() - view.getWest());
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const degrees = (value) => `${value.toFixed(decimals)}°`;
  const south = Math.max(-85, wide.getSouth()), north = Math.min(85, wide.getNorth());
  const top = Math.min(85, view.getNorth());
  grid.clearLayers();
  for (let row = Math.ceil(wide.getWest() / step); row * step <= wide.getEast(); row += 1) {
    const lon = row * step;
    drawGridLine([[south, lon], [north, lon]], [top, lon], degrees(beside(lon, 0)), "top");
  }
  for (let row = Math.ceil(south / step); row * step <= north; row += 1) {
    const lat = row * step;
    const underTop = map.latLngToContainerPoint([lat, 0]).y < 32; // there the longitudes are written
    drawGridLine([[lat, wide.getWest()], [lat, wide.getEast()]], [lat, view.getEast()], underTop ? "" : degrees(lat), "right");
  }
}

function drawBackdrop() {
  const far = map.getZoom() < STREET_ZOOM && tiles === null;
  map.getContainer().classList.toggle("far", far);
  if (far) backdrop.addTo(map);
  else backdrop.remove();
}

map.on("moveend resize", drawGrid);
map.on("zoomend", drawBackdrop);
drawGrid();
drawBackdrop();

function loadTiles(loadButton) {
  const attribution = "© OpenStreetMap contributors";
  // Their servers refuse requests that do not say which site asks.
  tiles = L.tileLayer(TILE_URL, { maxNativeZoom: 19, maxZoom: 21, attribution, referrerPolicy: "origin" }).addTo(map);
  loadButton.hidden = true;
  drawBackdrop();
}

const tileButton = document.getElementById("load-tiles");
tileButton.hidden = !location.protocol.startsWith("http"); // a page opened from disk cannot say it
tileButton.addEventListener("click", () => loadTiles(tileButton));

// What is drawn of the fixes

const caption = document.getElementById("map-caption");
const overview = L.layerGroup().addTo(map);
const detail = L.layerGroup().addTo(map);
const dots = L.canvas();
const matchMarkers = new Map(); // by rank, of the photo that is shown

function mapIcon(child, size) {
  return L.divIcon({ className: "map-icon", html: child, iconSize: [size, size] });
}

function symbol(names, className) {
  const box = element("span", className);
  for (const [name, turnDeg] of names) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#${name}`);
    svg.style.transform = `rotate(${turnDeg}deg)`;
    svg.classList.add(name);
    svg.append(use);
    box.append(svg);
  }
  return box;
}

// The longitude on the same side of the date line as the reference.
function beside(lon, reference) {
  return lon + 360 * Math.round((reference - lon) / 360);
}

function drawEstimate(fix, frame) {
  const at = L.latLng(fix.lat, fix.lon);
  if (fix.circle_m !== null) {
    const area = L.circle(at, { radius: fix.circle_m, className: "radius", weight: 2, fillOpacity: 0.1, interactive: false });
    area.addTo(detail);
    frame.extend(area.getBounds());
  }
  const symbols = [["icon-estimate", 0]];
  if (fix.heading_deg !== null) symbols.push(["icon-heading", fix.heading_deg]);
  const icon = mapIcon(symbol(symbols, "estimate"), 40);
  L.marker(at, { icon, interactive: false, keyboard: false, zIndexOffset: 100 }).addTo(detail);
  frame.extend(at);
}

function drawTruth(fix, reference, frame) {
  const at = L.latLng(fix.truth.lat, beside(fix.truth.lon, reference));
  if (fix.lat !== null) {
    const line = [[fix.lat, fix.lon], at];
    L.polyline(line, { className: "miss", weight: 2, dashArray: "5 5", interactive: false }).addTo(detail);
  }
  const icon = mapIcon(symbol([["icon-truth", 0]], "truth"), 30);
  L.marker(at, { icon, alt: "Truth", title: "Truth", zIndexOffset: 300 }).addTo(detail);
  frame.extend(at);
}

function matchTip(match) {
  const tip = element("div");
  if (match.picture !== null) tip.append(picture(match.picture, ""));
  tip.append(`${match.rank}. ${match.name}, score ${scoreText(match.score)}`);
  return tip;
}

function drawMatch(match, reference, frame, nearM) {
  const lon = beside(match.lon, reference);
  if (match.bounds) {
    const [south, west, north, east] = match.bounds;
    const shift = lon - match.lon;
    const corners = [[south, west + shift], [north, east + shift]];
    L.rectangle(corners, { className: "footprint", weight: 1, fillOpacity: 0.05, interactive: false }).addTo(detail);
  }
  const alt = `Match ${match.rank}`;
  const marker = L.marker([match.lat, lon], { icon: mapIcon(numberDisc(match), 22), alt, zIndexOffset: 900 - 10 * match.rank })
    .bindTooltip(matchTip(match), { className: "match-tip", direction: "top", offset: [0, -10] })
    .addTo(detail);
  matchMarkers.set(match.rank, marker);
  if (match.distance_m === null || match.distance_m <= nearM) frame.extend([match.lat, lon]);
}

function captionText(fix) {
    const instead = fix.matches.length ? "no position; the map shows its matches" : "nothing to show on the map";
  if (fix.lat === null) return `${fix.name}: ${instead}`;
  return `${fix.name}: ${latLon(fix.lat, fix.lon)}${fix.radius_m === null ? "" : `, within ${metres(fix.radius_m)}`}`;
}

function drawFix(fix) {
  const frame = L.latLngBounds([]);
  const reference = fix.lat === null ? (fix.matches[0] || fix.truth || { lon: 0 }).lon : fix.lon;
  const nearM = Math.max(60, 3 * (fix.circle_m || 0)); // farther matches are drawn but do not set the view
  detail.clearLayers();
  matchMarkers.clear();
  fix.matches.forEach((match) => drawMatch(match, reference, frame, nearM));
  if (fix.truth) drawTruth(fix, reference, frame);
  if (fix.lat !== null) drawEstimate(fix, frame);
  caption.textContent = captionText(fix);
  return frame;
}

function select(index, match) {
  cards.forEach((card, row) => {
    if (row === index) card.setAttribute("aria-current", "true");
    else card.removeAttribute("aria-current");
  });
  overview.remove();
  const frame = drawFix(fixes[index]);
  if (match) frame.extend(matchMarkers.get(match.rank).openTooltip().getLatLng());
  if (frame.isValid()) map.fitBounds(frame, { padding: [40, 40], maxZoom: 20, animate: !calm });
}

function selectDot(index) {
  if (cards[index].hidden) listOnly("all");
  select(index);
  cards[index].scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "nearest" });
}

function drawOverview() {
  fixes.forEach((fix, index) => {
    if (fix.lat === null) return;
    const style = { renderer: dots, radius: 6, color: "#ffffff", weight: 1.5, fillColor: "#c2480f", fillOpacity: 0.9 };
    L.circleMarker([fix.lat, fix.lon], style).on("click", () => selectDot(index)).addTo(overview);
  });
}

function showAll() {
  cards.forEach((card) => card.removeAttribute("aria-current"));
  detail.clearLayers();
  overview.addTo(map);
  const located = fixes.filter((fix) => fix.lat !== null);
  const frame = L.latLngBounds(located.map((fix) => [fix.lat, fix.lon]));
  if (frame.isValid()) map.fitBounds(frame, { padding: [40, 40], maxZoom: 16, animate: false });
  else map.fitBounds(WORLD, { animate: false });
  caption.textContent = located.length
    ? "All estimates. Choose a photo to see its radius and its matches."
    : "No photo was located.";
}

function drawLegend() {
  const swatches = RAMP.map((colour) => {
    const swatch = element("span");
    swatch.style.background = colour;
    return swatch;
  });
  document.getElementById("ramp").append(...swatches);
  document.getElementById("ramp-text").textContent = `matches by score, ${scoreText(RAMP_FROM)} to ${scoreText(RAMP_TO)}`;
  document.getElementById("truth-legend").hidden = !fixes.some((fix) => fix.truth);
}

document.getElementById("show-all").addEventListener("click", showAll);
drawLegend();
drawOverview();
showAll();
const linked = cards.findIndex((card) => `#${card.id}` === location.hash);
if (linked >= 0) selectDot(linked);
