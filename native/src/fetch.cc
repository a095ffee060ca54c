// fetch: look up ▷ read ▷ decompress ▷ verify, for blocks whose packs are open files, on one pool thread.
// Promises: it says that all is right only where every byte of the output was verified in this call; what is wrong is not told here:
// the caller looks for it block by block.
#include "fetch.h"

#include <algorithm>
#include <map>
#include <vector>

#include "decode.h"
#include "direct.h"
#include "hash.h"
#include "worker.h"

namespace basalt {

namespace {

// A block of the output, and where it is stored.
struct Wanted {
  Location location;
  size_t number;
  uint64_t end() const { return uint64_t{location.offset} + location.stored; }
};

// Neighbours in a pack, which are one read.
struct Stretch {
  // Of the blocks that are wanted, in order of their place.
  size_t first, count;
  uint64_t offset, length;
  // What is read before and behind it, so that these are whole pages, and where in the scratch that begins.
  size_t before, behind, input;
  size_t room() const { return before + length + behind; }
};

class FetchWork : public Worker {
 public:
  FetchWork(const Napi::CallbackInfo& info, std::shared_ptr<Index> index, std::shared_ptr<PackFiles> packs)
      : Worker(info.Env(), Lane::kStorage, index->fd()), index_(std::move(index)), packs_(std::move(packs)) {
    Napi::Object parts = info[0].As<Napi::Object>();
    addresses_ = SpanOf(parts.Get("addresses"));
    output_ = SpanOf(parts.Get("output"));
    scratch_ = SpanOf(parts.Get("scratch"));
    block_ = static_cast<size_t>(NumberOf(parts.Get("blockBytes")));
    past_cache_ = parts.Get("pastCache").As<Napi::Boolean>().Value();
    // From when it was asked for on, however long it waits for its turn.
    auto trust = std::chrono::milliseconds(static_cast<int64_t>(NumberOf(parts.Get("trustMs"))));
    lent_since_ = PackFiles::Clock::now() - trust;
    if (output_.length < addresses_.length / 32 * block_ || scratch_.length < addresses_.length / 32 * block_) {
      throw Napi::RangeError::New(info.Env(), "fetch: a buffer is too short");
    }
    Keep(parts);
  }

 protected:
  void Run() override {
    whole_ = Locate() && OpenPacks() && ReadAndDecode();
    // Here and not where the result is told: a file may keep whoever closes it.
    files_.clear();
  }
  Napi::Value Value(Napi::Env env) override {
    if (missing_.empty()) return Napi::Boolean::New(env, whole_);
    Napi::Array numbers = Napi::Array::New(env, missing_.size());
    for (uint32_t i = 0; i < missing_.size(); i++) numbers.Set(i, Napi::Number::New(env, missing_[i]));
    return numbers;
  }

 private:
  // False where a block is not known, or with impossible numbers.
  bool Locate() {
    Index::Reader reader(*index_);
    if (reader.status()) {
      FailWith("INDEX", std::string("read index: ") + mdb_strerror(reader.status()));
      return false;
    }
    for (size_t i = 0; i < addresses_.length / 32; i++) {
      const uint8_t* address = addresses_.data + i * 32;
      if (AllZero(address, 32)) {
        std::memset(output_.data + i * block_, 0, block_);
        continue;
      }
      Wanted wanted{{}, i};
      if (!reader.Find(address, &wanted.location)) return false;
      if ((wanted.location.raw_and_encoding & 0xffffff) != block_ || wanted.location.stored > block_) return false;
      wanted_.push_back(wanted);
    }
    return true;
  }

  bool ReadAndDecode() {
    std::sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) {
      return a.location.pack != b.location.pack ? a.location.pack < b.location.pack : a.location.offset < b.location.offset;
    });
    for (size_t next = 0; next < wanted_.size();) {
      std::vector<Stretch> stretches = Plan(&next);
      Waits(true);
      for (const Stretch& stretch : stretches) {
        if (!Read(stretch)) return false;
      }
      Waits(false);
      for (const Stretch& stretch : stretches) {
        if (!DecodeAll(stretch)) return false;
      }
    }
    return true;
  }

  // False where some have to be lent first.
  bool OpenPacks() {
    for (const Wanted& wanted : wanted_) {
      auto [place, is_new] = files_.try_emplace(wanted.location.pack);
      if (!is_new) continue;
      place->second = packs_->Find(wanted.location.pack, lent_since_);
      if (!place->second) missing_.push_back(wanted.location.pack);
    }
    return missing_.empty();
  }

  // Reads for the blocks from `*next` on, as many as find room in the scratch with the pages around them.
  std::vector<Stretch> Plan(size_t* next) const {
    size_t unit = past_cache_ && scratch_.length >= block_ + 2 * kDirectAlign ? kDirectAlign : 1;
    std::vector<Stretch> stretches;
    for (size_t used = 0; *next < wanted_.size(); ++*next) {
      const Location& location = wanted_[*next].location;
      bool joins = !stretches.empty() && wanted_[*next - 1].location.pack == location.pack &&
                   wanted_[*next - 1].end() == location.offset;
      Stretch stretch = joins ? stretches.back() : Stretch{*next, 0, location.offset, 0, location.offset % unit, 0, used};
      stretch.count++;
      stretch.length += location.stored;
      stretch.behind = (unit - (stretch.offset + stretch.length) % unit) % unit;
      if (stretch.input + stretch.room() > scratch_.length) break;
      used = stretch.input + stretch.room();
      if (joins) stretches.pop_back();
      stretches.push_back(stretch);
    }
    return stretches;
  }

  bool Read(const Stretch& stretch) {
    uint32_t pack = wanted_[stretch.first].location.pack;
    const PackFile& file = *files_[pack];
    ReadEnd end = ReadAllPastCache(file.fd(), past_cache_ ? file.direct() : -1, scratch_.data + stretch.input,
                                   stretch.before + stretch.length, stretch.room(),
                                   static_cast<off_t>(stretch.offset - stretch.before));
    // It may be the descriptor that is of no use any more.
    if (!end.whole()) packs_->Drop(pack);
    return end.whole();
  }

  bool DecodeAll(const Stretch& stretch) {
    const uint8_t* input = scratch_.data + stretch.input + stretch.before;
    for (size_t i = stretch.first; i < stretch.first + stretch.count; i++) {
      const auto& [location, number] = wanted_[i];
      StoredBlock stored{input, location.stored, location.raw_and_encoding >> 24};
      if (!Decode(stored, addresses_.data + number * 32, output_.data + number * block_, block_)) return false;
      input += location.stored;
    }
    return true;
  }

  std::shared_ptr<Index> index_;
  std::shared_ptr<PackFiles> packs_;
  Span addresses_, output_, scratch_;
  size_t block_;
  bool past_cache_;
  PackFiles::Clock::time_point lent_since_;
  std::vector<Wanted> wanted_;
  std::map<uint32_t, std::shared_ptr<PackFile>> files_;
  std::vector<uint32_t> missing_;
  bool whole_ = false;
};

}  // namespace

Napi::Value StartFetch(const Napi::CallbackInfo& info, std::shared_ptr<Index> index, std::shared_ptr<PackFiles> packs) {
  return (new FetchWork(info, std::move(index), std::move(packs)))->Start();
}

}  // namespace basalt
