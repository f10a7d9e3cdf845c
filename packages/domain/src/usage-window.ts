/** How far back what an account used is summed up. */
export const MOST_USAGE_DAYS = 366;
