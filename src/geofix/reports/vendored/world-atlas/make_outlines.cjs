// Makes outlines.json: node make_outlines.cjs countries-110m.json > outlines.json
// One MultiPolygon of all land and one MultiLineString of the borders between countries, in 0.01 degrees.
const { readFileSync } = require("node:fs");
const { feature, mesh } = require("topojson-client");

const topology = JSON.parse(readFileSync(process.argv[2], "utf8"));
const rounded = (value) => (Array.isArray(value) ? value.map(rounded) : Math.round(value * 100) / 100);

// A ring that crosses the date line goes on beyond 180 degrees, so that a flat map draws no line across the world.
function unwrapped(ring) {
  let turns = 0;
  const points = ring.map(([lon, lat], index) => {
    if (index) turns -= Math.round((lon - ring[index - 1][0]) / 360);
    return [lon + 360 * turns, lat];
  });
  const first = points[0];
  return turns === 0 ? points : [...points, [points.at(-1)[0], -90], [first[0], -90], first]; // Antarctica
}

// The polygon, and where it reaches beyond 180 degrees a second one that shows the rest at the other edge.
function onBothEdges(polygon) {
  const lons = polygon[0].map(([lon]) => lon);
  const shifted = (byDeg) => polygon.map((ring) => ring.map(([lon, lat]) => [lon + byDeg, lat]));
  if (Math.max(...lons) > 180) return [polygon, shifted(-360)];
  return Math.min(...lons) < -180 ? [polygon, shifted(360)] : [polygon];
}

const outline = (kind, type, coordinates) => ({
  type: "Feature",
  properties: { kind },
  geometry: { type, coordinates: rounded(coordinates) },
});

const land = feature(topology, topology.objects.land).features[0].geometry.coordinates;
const borders = mesh(topology, topology.objects.countries, (one, other) => one !== other).coordinates;
const polygons = land.map((polygon) => polygon.map(unwrapped)).flatMap(onBothEdges);
const features = [outline("land", "MultiPolygon", polygons), outline("borders", "MultiLineString", borders)];
process.stdout.write(JSON.stringify({ type: "FeatureCollection", features }));
