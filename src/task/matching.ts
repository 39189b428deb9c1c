/**
 * An assignment of rows to columns with the largest total score (Hungarian method by shortest augmenting paths with
 * potentials, Kuhn 1955; O(rows² · columns) for the shorter side as rows). `scores[row][column]` is finite. Returns
 * for every row its column, or -1 where there are more rows than columns.
 */
export function bestAssignment(scores: readonly (readonly number[])[]): number[] {
  const rows = scores.length;
  const columns = scores[0]?.length ?? 0;
  if (rows === 0 || columns === 0) return scores.map(() => -1);
  if (rows > columns) {
    const turned = Array.from({ length: columns }, (_, column) => scores.map((row) => row[column] ?? 0));
    const result: number[] = scores.map(() => -1);
    for (const [column, row] of bestAssignment(turned).entries()) result[row] = column;
    return result;
  }
  const cost = (row: number, column: number): number => -(scores[row]?.[column] ?? 0);
  const at = (list: readonly number[] | Float64Array, index: number): number => list[index] ?? 0;
  const rowPotential = new Float64Array(rows);
  const columnPotential = new Float64Array(columns + 1);
  // Column `columns` is a stand-in where each row starts its search.
  const rowOf: number[] = new Array<number>(columns + 1).fill(-1);
  for (let row = 0; row < rows; row++) {
    const slack = new Float64Array(columns + 1).fill(Infinity);
    const from: number[] = new Array<number>(columns + 1).fill(columns);
    const visited = new Uint8Array(columns + 1);
    let column = columns;
    rowOf[column] = row;
    while (at(rowOf, column) >= 0) {
      visited[column] = 1;
      const current = at(rowOf, column);
      let step = Infinity;
      let nearest = columns;
      for (let other = 0; other < columns; other++) {
        if (visited[other] === 1) continue;
        const reduced = cost(current, other) - at(rowPotential, current) - at(columnPotential, other);
        if (reduced < at(slack, other)) {
          slack[other] = reduced;
          from[other] = column;
        }
        if (at(slack, other) < step) {
          step = at(slack, other);
          nearest = other;
        }
      }
      for (let other = 0; other <= columns; other++) {
        if (visited[other] === 1) {
          const owner = at(rowOf, other);
          rowPotential[owner] = at(rowPotential, owner) + step;
          columnPotential[other] = at(columnPotential, other) - step;
        } else slack[other] = at(slack, other) - step;
      }
      column = nearest;
    }
    while (column !== columns) {
      const before = at(from, column);
      rowOf[column] = at(rowOf, before);
      column = before;
    }
  }
  const result: number[] = new Array<number>(rows).fill(-1);
  for (let column = 0; column < columns; column++) {
    const row = at(rowOf, column);
    if (row >= 0) result[row] = column;
  }
  return result;
}
