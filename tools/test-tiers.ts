/** Which files belong to which tier of tests, and how they are run. */

export interface TestTier {
  /** Patterns of files, from the root of the repository. */
  readonly files: readonly string[];
  /** Patterns of files that belong to another tier although they match. */
  readonly except: readonly string[];
  /** Files run at the same time; `false`: one after the other, because they share a machine's worth of microVMs. */
  readonly concurrency: boolean;
  /** Run in a network namespace of their own, without a way out: whole servers set up addresses, routes and rules. */
  readonly isolated: boolean;
  /** When no test has reported anything for so long, what runs is ended and counts as failed. */
  readonly silenceMs: number;
}

export const TEST_TIERS = {
  unit: {
    files: [
      "apps/*/{src,test}/**/*.test.ts",
      "packages/*/{src,test,tools}/**/*.test.ts",
      "native/**/*.test.ts",
      "tools/**/*.test.ts",
    ],
    except: ["packages/*/test/vm/**"],
    concurrency: true,
    isolated: false,
    silenceMs: 2 * 60_000,
  },
  e2e: {
    files: ["packages/*/test/vm/**/*.test.ts", "e2e/**/*.test.ts"],
    except: [],
    concurrency: false,
    isolated: true,
    silenceMs: 10 * 60_000,
  },
  soak: {
    files: ["packages/*/test/**/*.soak.ts", "e2e/**/*.soak.ts"],
    except: [],
    concurrency: false,
    isolated: true,
    silenceMs: 60 * 60_000,
  },
} as const satisfies Record<string, TestTier>;

export type TierName = keyof typeof TEST_TIERS;

export function isTierName(name: string): name is TierName {
  return Object.hasOwn(TEST_TIERS, name);
}
