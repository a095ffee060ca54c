// Memory that maps a file: pages of it count as resident although the file holds them.
#pragma once
#include <cstddef>
#include <string>

namespace basalt {

struct Mapping {
  char* start = nullptr;
  size_t length = 0;
};

// Where the file at `path` is mapped in this process; nowhere: length 0. Valid as long as its owner keeps it mapped.
Mapping FindMapping(const std::string& path);

// Lets go of the pages of a mapping; the next access takes them from the page cache again. The mapping must be there still,
// and must be one that nobody writes through. A mapping of a small file is left alone.
void ReleaseMapped(const Mapping& mapping, const std::string& path);

}  // namespace basalt
