/** Vitest runs it before each file of the guests' projects: outside of a guest none of them runs. */

import { machine } from './inside.ts';

machine();
