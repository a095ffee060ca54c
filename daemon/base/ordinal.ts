/** 1st, 2nd, 3rd, 4th, 11th. Pure. */

const endings: Readonly<Record<number, string>> = { 1: 'st', 2: 'nd', 3: 'rd' };

export function ordinal(number: number): string {
  const isTeen = number % 100 > 10 && number % 100 < 14;
  return `${number}${isTeen ? 'th' : (endings[number % 10] ?? 'th')}`;
}
