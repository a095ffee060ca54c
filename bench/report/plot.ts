/** Bars as an SVG picture: one a contestant, the value beside it. The colours can be read on white and on black. */

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly label: string;
}

const width = 720;
const barHeight = 18;
const step = 26;
const top = 48;
const left = 110;
const right = 110;

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

export function plotBars(title: string, unit: string, bars: readonly Bar[]): string {
  const height = top + bars.length * step + 12;
  const most = Math.max(...bars.map(({ value }) => value));
  const length = (value: number) => Math.max(1, ((width - left - right) * value) / most).toFixed(1);
  const lines = bars.map(({ name, value, label }, i) => {
    const y = top + i * step;
    const colour = name.startsWith('basalt')
      ? '#2f7f79'
      : name === 'limit' || name === 'hash'
        ? '#b8860b'
        : '#8a8f98';
    return [
      `  <text x="${left - 8}" y="${y + 13}" text-anchor="end">${escaped(name)}</text>`,
      `  <rect x="${left}" y="${y}" width="${length(value)}" height="${barHeight}" rx="2" fill="${colour}"/>`,
      `  <text x="${left + Number(length(value)) + 6}" y="${y + 13}">${escaped(label)}</text>`,
    ].join('\n');
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escaped(title)}" font-family="sans-serif" font-size="13" fill="#77808a">
  <text x="8" y="20" font-size="15" font-weight="bold">${escaped(title)}</text>
  <text x="8" y="37" font-size="12">${escaped(unit)}</text>
${lines.join('\n')}
</svg>
`;
}
