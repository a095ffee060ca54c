/** A Markdown table with columns as wide as what is in them; numbers, which is all but the first column, to the right. */

export function table(heading: readonly string[], lines: readonly (readonly string[])[]): string {
  const all = [heading, ...lines];
  const widths = heading.map((_, i) => Math.max(3, ...all.map((line) => (line[i] ?? '').length)));
  const row = (line: readonly string[]) =>
    `| ${widths.map((width, i) => (i === 0 ? (line[i] ?? '').padEnd(width) : (line[i] ?? '').padStart(width))).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`;
  return [row(heading), rule, ...lines.map(row)].join('\n');
}

/** A table of texts: all columns to the left. */
export function textTable(heading: readonly string[], lines: readonly (readonly string[])[]): string {
  const row = (line: readonly string[]) => `| ${line.join(' | ')} |`;
  return [row(heading), row(heading.map(() => '---')), ...lines.map(row)].join('\n');
}
