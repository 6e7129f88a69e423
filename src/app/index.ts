export { loadConfig } from './config.ts';
export { main } from './main.node.ts';
