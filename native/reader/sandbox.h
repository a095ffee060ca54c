// Gives up everything that a reader of hostile images does not need.
//
// Promises: afterwards the process can read and write what it has open, use memory up to `memoryBytes`, and nothing else: no
// files, no sockets, no programs, no other user's processes. What is not allowed kills it.
#pragma once
#include <cstdint>

namespace reader {

// Limits, user and group. Before any thread is started.
void DropRights(uint64_t memoryBytes);
// The filter of system calls, for all threads that there are.
void AllowOnlyReading();

}  // namespace reader
