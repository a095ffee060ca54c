// The look-up from block address to place in a pack, on LMDB, and the claims on blocks that are about to be stored.
//
// Promises: a pack is in the index whole or not at all, and flushed when AddPack returns; safe from several threads.
// A block that two writers claim at the same moment may be stored twice, never lost. It holds nothing that the packs do
// not say themselves.
#pragma once
#include <lmdb.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "mapped.h"
#include "page-walk.h"

namespace basalt {

using Address = std::array<uint8_t, 32>;

// Addresses are digests: any eight bytes of one are as good as a hash of it.
struct AddressHash {
  size_t operator()(const Address& address) const {
    size_t value;
    std::memcpy(&value, address.data(), sizeof value);
    return value;
  }
};

struct Location {
  uint32_t pack;
  uint32_t offset;
  uint32_t stored;
  uint32_t raw_and_encoding;
};
static_assert(sizeof(Location) == 16);

// One block sealed into a pack.
struct Entry {
  uint8_t address[32];
  uint32_t offset;
  uint32_t stored;
  uint32_t raw_and_encoding;
  uint32_t zero;
};
static_assert(sizeof(Entry) == 48);

constexpr uint32_t kEncodingRaw = 1;
constexpr uint32_t kEncodingZstd = 2;
inline uint32_t Pack(uint32_t raw, uint32_t encoding) { return raw | encoding << 24; }

// Every function gives 0 or an LMDB status (mdb_strerror).
class Index {
 public:
  struct Statistics {
    size_t blocks, packs, bytes, claims;
  };

  ~Index() { Close(); }
  int Open(const std::string& path, size_t map_bytes);
  void Close();
  // The descriptor of its file; -1 where it is not open.
  int fd() const;

  // A read view for one call of one thread.
  class Reader {
   public:
    explicit Reader(Index& index);
    ~Reader() {
      if (txn_) mdb_txn_abort(txn_);
    }
    int status() const { return status_; }
    // True and `location` filled where a committed pack holds the block.
    bool Find(const uint8_t* address, Location* location);
    // True and `name` (32 bytes) filled where the number is in use.
    bool Name(uint32_t number, uint8_t* name) const;

   private:
    Index& index_;
    MDB_txn* txn_ = nullptr;
    std::optional<PageWalk> walk_;
    int status_ = 0;
  };

  // Counts look-ups that went through the mapping; now and then it lets go of the pages that they mapped, so that they do not add up. Any thread.
  void Looked(size_t count);
  // True where nobody had claimed it: the caller stores it now, or releases it.
  bool Claim(const uint8_t* address);
  void Release(const Entry* entries, size_t count);
  // Remembers blocks that were found corrupt or missing: they count as unknown, until a verified copy is added. They outlive a restart and Clear.
  void Suspect(const uint8_t* addresses, size_t count);
  bool Suspected(const uint8_t* address);
  // For each address: 1 where a committed pack holds the block and nothing speaks against that copy, or where it is all zeros.
  int Holds(const uint8_t* addresses, size_t count, uint8_t* held);
  // Adds packs in one transaction, or what is missing of those that are known; blocks under suspicion are found there from now on.
  // `names`: 32 bytes a pack; `counts`: how many of the entries, which lie one pack behind the other, each has.
  int AddPacks(const uint8_t* names, const uint32_t* counts, size_t packs, const Entry* entries, bool verified);
  int DropPacks(const uint8_t* names, size_t count);
  int Clear();
  int Names(uint8_t first, std::vector<uint8_t>* names);
  int Count(Statistics* statistics);

 private:
  int LoadSuspects(MDB_txn* txn);
  int DropBlocksIn(const std::unordered_set<uint32_t>& numbers);
  int DropSome(MDB_txn* txn, const std::unordered_set<uint32_t>& numbers, Address* next, bool* ended);
  int DropNames(const uint8_t* names, size_t count);
  int NumberFor(MDB_txn* txn, const uint8_t* name, uint32_t* number);
  int AddBlock(MDB_txn* txn, uint32_t number, const Entry& entry, bool verified);

  MDB_env* env_ = nullptr;
  std::string path_;
  Mapping mapping_;
  std::atomic<size_t> looked_{0};
  size_t page_bytes_ = 0;
  MDB_dbi main_ = 0;    // name of a table -> its record
  MDB_dbi blocks_ = 0;  // address -> Location
  MDB_dbi packs_ = 0;   // pack number -> name
  MDB_dbi names_ = 0;   // name -> pack number
  MDB_dbi suspects_table_ = 0;  // address -> nothing
  std::mutex claims_mutex_;
  std::unordered_set<Address, AddressHash> claims_;
  std::unordered_set<Address, AddressHash> suspects_;
  std::atomic<size_t> suspect_count_{0};
};

}  // namespace basalt
