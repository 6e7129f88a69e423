import { describe, expect, it } from 'vitest';
import { createScreen, type View } from '../../../ops/demo/screen.node.ts';

function fake(isTTY: boolean): { readonly out: NodeJS.WriteStream; readonly written: string[] } {
  const written: string[] = [];
  const out = { isTTY, columns: 24, write: (text: string) => void written.push(text) };
  return { out: out as unknown as NodeJS.WriteStream, written };
}

const view = (line: string): View => ({ table: () => [`head of ${line}`, 'x'.repeat(40)], line: () => line });

describe('on a terminal', () => {
  it('given two drawings: the second takes the place of the first, no line wraps', () => {
    const { out, written } = fake(true);
    const screen = createScreen(out);
    screen.finish(view('one'));
    screen.show(view('two'));
    screen.say('done');
    expect(written).toEqual([
      `head of one\n${'x'.repeat(23)}\n`,
      `head of two\n${'x'.repeat(23)}\n`,
      '\u001b[2A\u001b[0J',
      'done\n',
    ]);
  });
});

describe('without a terminal', () => {
  it('given news within seconds: only the first is shown, and the last', () => {
    const { out, written } = fake(false);
    const screen = createScreen(out);
    screen.show(view('   0 s  1 of 3'));
    screen.show(view('   1 s  2 of 3'));
    screen.finish(view('   2 s  3 of 3'));
    expect(written).toEqual(['   0 s  1 of 3\n', '   2 s  3 of 3\n']);
  });

  it('given the same news again: nothing is shown', () => {
    const { out, written } = fake(false);
    const screen = createScreen(out);
    screen.show(view('   0 s  1 of 3'));
    screen.finish(view('   9 s  1 of 3'));
    expect(written).toEqual(['   0 s  1 of 3\n']);
  });
});
