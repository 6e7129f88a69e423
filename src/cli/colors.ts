/** Colour functions; when colours are off they give the text back. */
import pc from 'picocolors';

export type Colors = ReturnType<typeof pc.createColors>;

export const createColors = (enabled: boolean): Colors => pc.createColors(enabled);
