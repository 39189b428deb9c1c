/** A scalar reward with what it is made of; the parts are for logs and need not sum to the value. */
export interface Reward {
  value: number;
  parts: Record<string, number>;
}
