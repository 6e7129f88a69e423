/**
 * The failures of provisioning and of the stack. Callers branch on `code`, never on the sentence; the sentence is for the
 * person at the terminal and says what to do next.
 */
export type OpsErrorCode =
  | 'MR_CHECKSUM' // a download is not what its publisher said: nothing of it was kept
  | 'MR_DOWNLOAD' // the network or the publisher did not give the file
  | 'MR_COMMAND' // a tool we ran failed
  | 'MR_LOCKED' // another process holds the lock for too long
  | 'MR_PORT_IN_USE'
  | 'MR_SERVER_START'
  | 'MR_UNAVAILABLE' // a part that is needed here could not be provisioned
  | 'MR_USAGE';

export class OpsError extends Error {
  readonly code: OpsErrorCode;

  constructor(code: OpsErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'OpsError';
    this.code = code;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
