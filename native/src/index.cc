// The index itself; its face to JavaScript is block-index.cc. Source: the LMDB manual (lmdb.h).
#include <fcntl.h>
#include "index.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace basalt {

namespace {

MDB_val Value(const void* data, size_t length) { return MDB_val{length, const_cast<void*>(data)}; }

// Corrupt blocks that are remembered: 32 bytes each and some; beyond, a later check finds them again.
constexpr size_t kSuspectsMax = 100000;

// What goes through the mapping touches a page a level of the tree, and the kernel brings neighbours with each: after so many the
// memory is some 40 MiB at most, with 100 million blocks. Look-ups read pages instead; a block that is added can't.
constexpr size_t kLookUpsKept = 32;

// Blocks that go in one transaction: it keeps every page that it changes in memory until its end.
constexpr size_t kDroppedInARow = 4096;

// Blocks that are looked at in one transaction: some 40 MiB of pages.
constexpr size_t kLookedInARow = 500000;

constexpr char kBlocksName[] = "blocks";

// Ends a write transaction by its status, and gives the status that counts.
int End(MDB_txn* txn, int status) {
  if (status == 0) return mdb_txn_commit(txn);
  mdb_txn_abort(txn);
  return status;
}

// The smallest map that is tried: addresses of a hundred million blocks.
constexpr size_t kMapBytesMin = size_t{8} << 30;

int OpenOnce(MDB_env** env, const std::string& path, size_t map_bytes) {
  int status = mdb_env_create(env);
  if (status) return status;
  if ((status = mdb_env_set_mapsize(*env, map_bytes))) return status;
  if ((status = mdb_env_set_maxdbs(*env, 4))) return status;
  if ((status = mdb_env_set_maxreaders(*env, 1024))) return status;
  // Addresses are random: readahead would only fill memory. NOTLS: a reader belongs to a call, not to a thread.
  // NOMETASYNC: a power cut may take the last packs from the index, never break it; opening the repository adds them again.
  return mdb_env_open(*env, path.c_str(), MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD | MDB_NOMETASYNC, 0640);
}

}  // namespace

int Index::Open(const std::string& path, size_t map_bytes) {
  int status = OpenOnce(&env_, path, map_bytes);
  // Addresses may be short where memory is not: by a limit of the process, or of the kernel.
  while (status == ENOMEM && map_bytes > kMapBytesMin) {
    mdb_env_close(env_);
    env_ = nullptr;
    map_bytes /= 2;
    status = OpenOnce(&env_, path, map_bytes);
  }
  if (status) return status;
  // The library leaves the one descriptor of the data open for children, for programs that copy it.
  int fd;
  if ((status = mdb_env_get_fd(env_, &fd))) return status;
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) return errno;
  path_ = path;
  MDB_txn* txn;
  if ((status = mdb_txn_begin(env_, nullptr, 0, &txn))) return status;
  if (!status) status = mdb_dbi_open(txn, kBlocksName, MDB_CREATE, &blocks_);
  if (!status) status = mdb_dbi_open(txn, "packs", MDB_CREATE | MDB_INTEGERKEY, &packs_);
  if (!status) status = mdb_dbi_open(txn, "names", MDB_CREATE, &names_);
  if (!status) status = mdb_dbi_open(txn, "suspects", MDB_CREATE, &suspects_table_);
  if (!status) status = mdb_dbi_open(txn, nullptr, 0, &main_);
  if (!status) status = LoadSuspects(txn);
  MDB_stat about;
  if (!status) status = mdb_stat(txn, blocks_, &about);
  if (!status) page_bytes_ = about.ms_psize;
  // The size of the map never changes, so it stays where it is until the environment is closed.
  mapping_ = FindMapping(path_);
  return End(txn, status);
}

void Index::Close() {
  if (env_) mdb_env_close(env_);
  env_ = nullptr;
}

int Index::fd() const {
  int fd;
  return env_ && mdb_env_get_fd(env_, &fd) == 0 ? fd : -1;
}

Index::Reader::Reader(Index& index) : index_(index) {
  status_ = mdb_txn_begin(index.env_, nullptr, MDB_RDONLY, &txn_);
  MDB_val name = Value(kBlocksName, sizeof kBlocksName - 1), record;
  int fd;
  if (status_ || !PageWalk::Knows() || mdb_get(txn_, index.main_, &name, &record) || mdb_env_get_fd(index.env_, &fd)) return;
  walk_.emplace(fd, index.page_bytes_, record.mv_data, record.mv_size);
}

bool Index::Reader::Find(const uint8_t* address, Location* location) {
  if (walk_) {
    PageWalk::Answer answer = walk_->Find(address, 32, location, sizeof *location);
    if (answer != PageWalk::Answer::kUnsure) return answer == PageWalk::Answer::kFound;
  }
  index_.Looked(1);
  MDB_val key = Value(address, 32), value;
  if (!txn_ || mdb_get(txn_, index_.blocks_, &key, &value) || value.mv_size != sizeof(Location)) return false;
  std::memcpy(location, value.mv_data, sizeof(Location));
  return true;
}

bool Index::Reader::Name(uint32_t number, uint8_t* name) const {
  MDB_val key = Value(&number, sizeof number), value;
  if (!txn_ || mdb_get(txn_, index_.packs_, &key, &value) || value.mv_size != 32) return false;
  std::memcpy(name, value.mv_data, 32);
  return true;
}

void Index::Looked(size_t count) {
  size_t before = looked_.fetch_add(count);
  if (before / kLookUpsKept != (before + count) / kLookUpsKept) ReleaseMapped(mapping_, path_);
}

bool Index::Claim(const uint8_t* address) {
  Address key;
  std::memcpy(key.data(), address, 32);
  std::lock_guard lock(claims_mutex_);
  return claims_.insert(key).second;
}

void Index::Release(const Entry* entries, size_t count) {
  std::lock_guard lock(claims_mutex_);
  for (size_t i = 0; i < count; i++) {
    Address key;
    std::memcpy(key.data(), entries[i].address, 32);
    claims_.erase(key);
  }
}

int Index::LoadSuspects(MDB_txn* txn) {
  MDB_cursor* cursor;
  int status = mdb_cursor_open(txn, suspects_table_, &cursor);
  if (status) return status;
  MDB_val key, value;
  for (int step = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); !step;
       step = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
    Address address;
    if (key.mv_size != address.size()) continue;
    std::memcpy(address.data(), key.mv_data, address.size());
    suspects_.insert(address);
  }
  mdb_cursor_close(cursor);
  suspect_count_ = suspects_.size();
  return 0;
}

// What could not be written down is still known until the process ends, and found again by the next reader.
void Index::Suspect(const uint8_t* addresses, size_t count) {
  std::vector<Address> added;
  {
    std::lock_guard lock(claims_mutex_);
    for (size_t i = 0; i < count && suspects_.size() < kSuspectsMax; i++) {
      Address key;
      std::memcpy(key.data(), addresses + i * 32, 32);
      if (suspects_.insert(key).second) added.push_back(key);
    }
    suspect_count_ = suspects_.size();
  }
  MDB_txn* txn;
  if (added.empty() || mdb_txn_begin(env_, nullptr, 0, &txn)) return;
  int status = 0;
  for (const Address& address : added) {
    MDB_val key = Value(address.data(), address.size()), value = Value("", 0);
    if (!status) status = mdb_put(txn, suspects_table_, &key, &value, 0);
  }
  End(txn, status);
}

bool Index::Suspected(const uint8_t* address) {
  if (suspect_count_ == 0) return false;
  Address key;
  std::memcpy(key.data(), address, 32);
  std::lock_guard lock(claims_mutex_);
  return suspects_.count(key) > 0;
}

int Index::Holds(const uint8_t* addresses, size_t count, uint8_t* held) {
  static const uint8_t zeros[32] = {};
  Reader reader(*this);
  if (reader.status()) return reader.status();
  for (size_t i = 0; i < count; i++) {
    const uint8_t* address = addresses + i * 32;
    Location location;
    bool none = std::memcmp(address, zeros, sizeof zeros) == 0;
    held[i] = none || (reader.Find(address, &location) && !Suspected(address));
  }
  return 0;
}

// The number of a pack; a new one where it is not known yet.
int Index::NumberFor(MDB_txn* txn, const uint8_t* name, uint32_t* number) {
  MDB_val name_key = Value(name, 32), found;
  int status = mdb_get(txn, names_, &name_key, &found);
  if (status == 0) std::memcpy(number, found.mv_data, sizeof *number);
  if (status != MDB_NOTFOUND) return status;
  MDB_cursor* cursor;
  if ((status = mdb_cursor_open(txn, packs_, &cursor))) return status;
  MDB_val last, ignored;
  *number = 1;
  status = mdb_cursor_get(cursor, &last, &ignored, MDB_LAST);
  if (status == 0) {
    std::memcpy(number, last.mv_data, sizeof *number);
    ++*number;
  }
  mdb_cursor_close(cursor);
  if (status && status != MDB_NOTFOUND) return status;
  MDB_val number_value = Value(number, sizeof *number);
  status = mdb_put(txn, packs_, &number_value, &name_key, 0);
  return status ? status : mdb_put(txn, names_, &name_key, &number_value, 0);
}

int Index::AddBlock(MDB_txn* txn, uint32_t number, const Entry& entry, bool verified) {
  Location location{number, entry.offset, entry.stored, entry.raw_and_encoding};
  MDB_val key = Value(entry.address, 32), value = Value(&location, sizeof location);
  bool mends = verified && Suspected(entry.address);
  int status = mdb_put(txn, blocks_, &key, &value, mends ? 0 : MDB_NOOVERWRITE);
  if (status == MDB_KEYEXIST) status = 0;
  if (mends && !status) status = mdb_del(txn, suspects_table_, &key, nullptr);
  return status == MDB_NOTFOUND ? 0 : status;
}

int Index::AddPacks(const uint8_t* names, const uint32_t* counts, size_t packs, const Entry* entries, bool verified) {
  MDB_txn* txn;
  int status = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (status) return status;
  std::vector<std::pair<const Entry*, uint32_t>> blocks;
  size_t count = 0;
  for (size_t pack = 0; pack < packs && !status; pack++) {
    uint32_t number = 0;
    status = NumberFor(txn, names + pack * 32, &number);
    for (uint32_t i = 0; i < counts[pack]; i++) blocks.emplace_back(entries + count++, number);
  }
  // In the order of the addresses each page of the tree is met once. Of equal ones the first pack keeps the block.
  std::stable_sort(blocks.begin(), blocks.end(), [](const auto& a, const auto& b) {
    return std::memcmp(a.first->address, b.first->address, sizeof a.first->address) < 0;
  });
  for (size_t i = 0; i < blocks.size() && !status; i++) {
    status = AddBlock(txn, blocks[i].second, *blocks[i].first, verified);
    if ((i + 1) % kLookUpsKept == 0) ReleaseMapped(mapping_, path_);
  }
  status = End(txn, status);
  ReleaseMapped(mapping_, path_);
  if (!status) Release(entries, count);
  if (!status && verified && suspect_count_ > 0) {
    std::lock_guard lock(claims_mutex_);
    for (size_t i = 0; i < count; i++) {
      Address key;
      std::memcpy(key.data(), entries[i].address, 32);
      suspects_.erase(key);
    }
    suspect_count_ = suspects_.size();
  }
  return status;
}

int Index::DropPacks(const uint8_t* names, size_t count) {
  std::unordered_set<uint32_t> numbers;
  {
    MDB_txn* txn;
    int status = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
    if (status) return status;
    for (size_t i = 0; i < count; i++) {
      MDB_val name = Value(names + i * 32, 32), found;
      uint32_t number;
      if (mdb_get(txn, names_, &name, &found)) continue;
      std::memcpy(&number, found.mv_data, sizeof number);
      numbers.insert(number);
    }
    mdb_txn_abort(txn);
  }
  if (numbers.empty()) return 0;
  // The names go last: what stops in between is begun again by who finds a name without its pack.
  int status = DropBlocksIn(numbers);
  return status ? status : DropNames(names, count);
}

int Index::DropNames(const uint8_t* names, size_t count) {
  MDB_txn* txn;
  int status = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (status) return status;
  for (size_t i = 0; i < count && !status; i++) {
    MDB_val name = Value(names + i * 32, 32), found;
    status = mdb_get(txn, names_, &name, &found);
    if (status == MDB_NOTFOUND) {
      status = 0;
      continue;
    }
    if (status) break;
    uint32_t number;
    std::memcpy(&number, found.mv_data, sizeof number);
    MDB_val number_value = Value(&number, sizeof number);
    status = mdb_del(txn, packs_, &number_value, nullptr);
    if (!status) status = mdb_del(txn, names_, &name, nullptr);
  }
  return End(txn, status);
}

// One pass over all blocks, however many packs go; in parts, because what a transaction changes is held in memory.
int Index::DropBlocksIn(const std::unordered_set<uint32_t>& numbers) {
  Address next{};
  for (bool ended = false; !ended;) {
    MDB_txn* txn;
    int status = mdb_txn_begin(env_, nullptr, 0, &txn);
    if (status) return status;
    status = End(txn, DropSome(txn, numbers, &next, &ended));
    if (status) return status;
    ReleaseMapped(mapping_, path_);
  }
  return 0;
}

// Goes on at `next`, and leaves there where it stopped.
int Index::DropSome(MDB_txn* txn, const std::unordered_set<uint32_t>& numbers, Address* next, bool* ended) {
  MDB_cursor* cursor;
  int status = mdb_cursor_open(txn, blocks_, &cursor);
  if (status) return status;
  MDB_val key = Value(next->data(), next->size()), value;
  int step = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
  for (size_t looked = 0, dropped = 0; !step && !status; looked++) {
    if (looked >= kLookedInARow || dropped >= kDroppedInARow) {
      std::memcpy(next->data(), key.mv_data, std::min(key.mv_size, next->size()));
      break;
    }
    uint32_t pack;
    std::memcpy(&pack, value.mv_data, sizeof pack);
    if (numbers.count(pack)) {
      status = mdb_cursor_del(cursor, 0);
      dropped++;
    }
    if (!status) step = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
  }
  mdb_cursor_close(cursor);
  *ended = step == MDB_NOTFOUND;
  return !status && step != MDB_NOTFOUND ? step : status;
}

int Index::Clear() {
  MDB_txn* txn;
  int status = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (status) return status;
  for (MDB_dbi dbi : {blocks_, packs_, names_}) {
    if (!status) status = mdb_drop(txn, dbi, 0);
  }
  return End(txn, status);
}

int Index::Names(uint8_t first, std::vector<uint8_t>* names) {
  MDB_txn* txn;
  int status = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (status) return status;
  MDB_cursor* cursor;
  status = mdb_cursor_open(txn, names_, &cursor);
  if (!status) {
    const uint8_t lowest[32] = {first};
    MDB_val key = Value(lowest, sizeof lowest), value;
    for (int step = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE); !step;
         step = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
      auto* bytes = static_cast<uint8_t*>(key.mv_data);
      if (bytes[0] != first) break;
      names->insert(names->end(), bytes, bytes + key.mv_size);
    }
    mdb_cursor_close(cursor);
  }
  mdb_txn_abort(txn);
  return status;
}

int Index::Count(Statistics* statistics) {
  MDB_txn* txn;
  int status = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
  if (status) return status;
  MDB_stat blocks, packs;
  MDB_envinfo info;
  status = mdb_stat(txn, blocks_, &blocks);
  if (!status) status = mdb_stat(txn, packs_, &packs);
  if (!status) status = mdb_env_info(env_, &info);
  mdb_txn_abort(txn);
  if (status) return status;
  std::lock_guard lock(claims_mutex_);
  *statistics = {blocks.ms_entries, packs.ms_entries, (info.me_last_pgno + 1) * size_t{blocks.ms_psize}, claims_.size()};
  return 0;
}

}  // namespace basalt
