export const PART_NAMES = [
  'nats',
  'redis',
  'prefect',
  'jaeger',
  'chromium',
  'natscli',
  'temporal',
  'postgres',
] as const;
export type PartName = (typeof PART_NAMES)[number];

export type PartSource = 'path' | 'cached' | 'release' | 'go' | 'apt' | 'pip';

export interface AvailablePart {
  readonly status: 'available';
  readonly name: PartName;
  /** The executable to start. For Prefect: the Python of its virtual environment. */
  readonly command: string;
  readonly version: string;
  readonly source: PartSource;
}

export interface UnavailablePart {
  readonly status: 'unavailable';
  readonly name: PartName;
  /** One plain sentence: what is missing, what follows from it, what to install. */
  readonly reason: string;
}

export type Part = AvailablePart | UnavailablePart;

/** Where a provisioner tells what it is doing. `detail` is for what takes long or falls back. */
export interface Progress {
  readonly detail: (part: PartName, sentence: string) => void;
  readonly done: (part: Part, seconds: number) => void;
}

export const SILENT: Progress = { detail: () => undefined, done: () => undefined };
