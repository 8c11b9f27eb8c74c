/** A small column chart of whole numbers over time; the newest column stands out. */
const SVG = 'http://www.w3.org/2000/svg';
const COLUMN = 10;
const GAP = 2;
const HEIGHT = 28;

export function chart(series: number[], label: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'tokmagic-chart');
  svg.setAttribute('viewBox', `0 0 ${series.length * COLUMN - GAP} ${HEIGHT}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${label}: ${series.join(', ')}`);
  const top = Math.max(...series, 1);
  svg.append(...series.map((value, place) => column(value / top, place, place === series.length - 1)));
  return svg;
}

function column(share: number, place: number, newest: boolean): SVGRectElement {
  const height = Math.max(1, share * HEIGHT);
  const rect = document.createElementNS(SVG, 'rect');
  rect.setAttribute('class', newest ? 'tokmagic-column tokmagic-newest' : 'tokmagic-column');
  rect.setAttribute('x', String(place * COLUMN));
  rect.setAttribute('y', String(HEIGHT - height));
  rect.setAttribute('width', String(COLUMN - GAP));
  rect.setAttribute('height', String(height));
  return rect;
}
