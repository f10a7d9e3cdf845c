/** In the unit that fits: `0 B`, `1.5 KiB`, `270.3 MiB`. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, "B"];
  for (const next of ["KiB", "MiB", "GiB", "TiB"]) {
    // What is rounded to 1024.0 belongs to the next one.
    if (value < 1023.95) break;
    [value, unit] = [value / 1024, next];
  }
  return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
}
