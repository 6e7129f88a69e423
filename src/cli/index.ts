export type { CliContext, Register, RoleOptions, Settings } from './context.ts';
export { readArgument, writeText } from './files.node.ts';
export { EXIT, type ExitCode, errorData, errorText, exitCodeOf } from './format-error.ts';
export { createOutput, type Output, type OutputOptions, type TextStream } from './output.ts';
export { createProgram, runProgram } from './program.ts';
