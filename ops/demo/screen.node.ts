/** Where the demo shows itself: a table drawn in place on a terminal, plain lines now and then elsewhere. */

/** Least time between two plain lines, in ms. */
const PLAIN_EVERY_MS = 5_000;
/** Least time between two drawings on a terminal, in ms. */
const DRAW_EVERY_MS = 100;

export interface View {
  readonly table: () => string[];
  readonly line: () => string;
}

export interface Screen {
  /** A line that stays. */
  say(line: string): void;
  /** Shows the view as it is now; the draws in between are left out. */
  show(view: View): void;
  /** Draws the view a last time. */
  finish(view: View): void;
}

export function createScreen(out: NodeJS.WriteStream = process.stdout): Screen {
  const live = out.isTTY === true;
  let drawn = 0;
  let last = 0;
  let lastLine = '';

  const erase = (): void => {
    if (drawn > 0) out.write(`\u001b[${drawn}A\u001b[0J`);
    drawn = 0;
  };
  const draw = (view: View): void => {
    if (live) {
      const width = Math.max(20, (out.columns ?? 100) - 1);
      const lines = view.table().map((line) => line.slice(0, width)); // a line that wraps could not be erased
      erase();
      out.write(`${lines.join('\n')}\n`);
      drawn = lines.length;
      return;
    }
    const line = view.line();
    // The same news twice is noise; only the time in front differs.
    const news = line.replace(/^\s*\d+ s/, '');
    if (news !== lastLine) out.write(`${line}\n`);
    lastLine = news;
  };
  return {
    say(line) {
      erase();
      out.write(`${line}\n`);
    },
    show(view) {
      const now = Date.now();
      if (now - last < (live ? DRAW_EVERY_MS : PLAIN_EVERY_MS)) return;
      last = now;
      draw(view);
    },
    finish(view) {
      draw(view);
      drawn = 0;
    },
  };
}
