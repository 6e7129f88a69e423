#!/usr/bin/env node
// The bin. It alone of cli/ may look up at app/: the composition root builds the context that commands are given.
import { main } from '../app/index.ts';

process.exitCode = await main(process.argv.slice(2));
