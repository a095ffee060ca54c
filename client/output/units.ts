/** Numbers as people read and type them: bytes, rates, durations. Pure. */

const steps = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `1610612736` → `1.5 GiB`: one decimal from KiB on, whole bytes below. */
export function bytesText(bytes: number): string {
  let value = bytes;
  let step = 0;
  // 1023.95 would be rounded to "1024.0", which is one of the next unit.
  while (step < steps.length - 1 && Math.abs(value) >= (step === 0 ? 1024 : 1023.95)) {
    value /= 1024;
    step += 1;
  }
  return `${step === 0 ? Math.round(value) : value.toFixed(1)} ${steps[step] ?? 'B'}`;
}

export const rateText = (bytesPerSecond: number): string => `${bytesText(bytesPerSecond)}/s`;

/** `3725` → `1 h 02 min`: the two largest units, enough to plan by. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** `64K`, `64KiB` or `65536` → 65536; undefined where the text is not a whole number of bytes. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+)(?:\s*(K|M|G|T)(?:iB)?)?$/i.exec(text.trim());
  if (match?.[1] === undefined) return undefined;
  const exponent = match[2] === undefined ? 0 : 'KMGT'.indexOf(match[2].toUpperCase()) + 1;
  const bytes = Number(match[1]) * 1024 ** exponent;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
