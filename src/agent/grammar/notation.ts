/** So many times what stands before, which is one item or in parentheses; nothing for none. */
export function repeat(item: string, least: number, most: number): string {
  return most === 0 ? '""' : `${item}{${least},${most}}`;
}
