// BlockIndex: the face of the index to JavaScript. Lasting work runs on the pool; what is "at once" only reads the map.
#include <functional>
#include <iterator>
#include <memory>

#include "capability.h"
#include "fetch.h"
#include "index.h"
#include "seal.h"
#include "worker.h"

namespace {

using basalt::Entry;
using basalt::Index;

Napi::Error IndexError(Napi::Env env, const char* what, int status) {
  return basalt::MakeError(env, basalt::Failure{"INDEX", std::string(what) + ": " + mdb_strerror(status), 0, -1});
}

uint32_t ReadCount(const uint8_t* bytes) {
  uint32_t count;
  std::memcpy(&count, bytes, sizeof count);
  return count;
}

// Runs one function of the index on the pool; it gives an LMDB status.
class IndexWork : public basalt::Worker {
 public:
  using Task = int (*)(IndexWork&);
  IndexWork(const Napi::CallbackInfo& info, std::shared_ptr<Index> index, Task task)
      : Worker(info.Env()), index(std::move(index)), task_(task) {
    for (size_t i = 0; i < info.Length(); i++) {
      if (info[i].IsBoolean()) {
        verified = info[i].As<Napi::Boolean>().Value();
      } else if (i < std::size(spans)) {
        spans[i] = basalt::SpanOf(info[i]);
        Keep(info[i].As<Napi::Object>());
      }
    }
  }
  std::shared_ptr<Index> index;
  basalt::Span spans[3];
  bool verified = false;
  std::vector<uint8_t> result;

 protected:
  void Run() override {
    int status = task_(*this);
    if (status) FailWith("INDEX", std::string("index: ") + mdb_strerror(status));
  }
  Napi::Value Value(Napi::Env env) override {
    return Napi::Buffer<uint8_t>::Copy(env, result.data(), result.size());
  }

 private:
  Task task_;
};

// Runs what may wait for the files of packs where work waits for storages; gives what it gives.
class PacksWork : public basalt::Worker {
 public:
  using Task = std::function<bool(basalt::PackFiles&)>;
  PacksWork(Napi::Env env, const Index& index, std::shared_ptr<basalt::PackFiles> packs, Task task)
      : Worker(env, basalt::Lane::kStorage, index.fd()), packs_(std::move(packs)), task_(std::move(task)) {}

 protected:
  void Run() override { result_ = task_(*packs_); }
  Napi::Value Value(Napi::Env env) override { return Napi::Boolean::New(env, result_); }

 private:
  std::shared_ptr<basalt::PackFiles> packs_;
  Task task_;
  bool result_ = false;
};

class BlockIndex : public Napi::ObjectWrap<BlockIndex> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "BlockIndex",
                       {InstanceMethod("seal", &BlockIndex::Seal), InstanceMethod("locate", &BlockIndex::Locate),
                        InstanceMethod("fetch", &BlockIndex::Fetch), InstanceMethod("lend", &BlockIndex::Lend),
                        InstanceMethod("holds", &BlockIndex::Holds),
                        InstanceMethod("addPack", &BlockIndex::AddPack), InstanceMethod("addPacks", &BlockIndex::AddPacks),
                        InstanceMethod("release", &BlockIndex::Release),
                        InstanceMethod("suspect", &BlockIndex::Suspect), InstanceMethod("packName", &BlockIndex::PackName),
                        InstanceMethod("packNames", &BlockIndex::PackNames),
                        InstanceMethod("dropPacks", &BlockIndex::DropPacks), InstanceMethod("clear", &BlockIndex::Clear),
                        InstanceMethod("statistics", &BlockIndex::Statistics),
                        InstanceMethod("close", &BlockIndex::Close)});
  }

  explicit BlockIndex(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BlockIndex>(info) {
    index_ = std::make_shared<Index>();
    int status = index_->Open(info[0].As<Napi::String>().Utf8Value(), static_cast<size_t>(basalt::NumberOf(info[1])));
    if (status) throw IndexError(info.Env(), "open index", status);
  }

 private:
  // Work under way keeps its own hold on the index, so that close never pulls it away.
  std::shared_ptr<Index> Opened(Napi::Env env) {
    if (!index_) throw basalt::MakeError(env, basalt::Failure{"INDEX", "the index is closed", 0, -1});
    return index_;
  }

  Napi::Value Seal(const Napi::CallbackInfo& info) { return basalt::StartSeal(info, Opened(info.Env())); }

  Napi::Value Fetch(const Napi::CallbackInfo& info) { return basalt::StartFetch(info, Opened(info.Env()), packs_); }

  // pack number, descriptor, whether it may be read past the page cache
  Napi::Value Lend(const Napi::CallbackInfo& info) {
    uint32_t pack = info[0].As<Napi::Number>().Uint32Value();
    int fd = info[1].As<Napi::Number>().Int32Value();
    bool direct = info[2].As<Napi::Boolean>().Value();
    auto lend = [=](basalt::PackFiles& packs) { return packs.Lend(pack, fd, direct); };
    return (new PacksWork(info.Env(), *Opened(info.Env()), packs_, lend))->Start();
  }

  Napi::Value Locate(const Napi::CallbackInfo& info) {
    basalt::Span addresses = basalt::SpanOf(info[0]), locations = basalt::SpanOf(info[1]);
    Index::Reader reader(*Opened(info.Env()));
    if (reader.status()) throw IndexError(info.Env(), "read index", reader.status());
    size_t count = std::min(addresses.length / 32, locations.length / sizeof(basalt::Location));
    for (size_t i = 0; i < count; i++) {
      basalt::Location location{};
      reader.Find(addresses.data + i * 32, &location);
      std::memcpy(locations.data + i * sizeof location, &location, sizeof location);
    }
    return info.Env().Undefined();
  }

  Napi::Value Holds(const Napi::CallbackInfo& info) {
    return Start(info, [](IndexWork& work) {
      size_t count = std::min(work.spans[0].length / 32, work.spans[1].length);
      return work.index->Holds(work.spans[0].data, count, work.spans[1].data);
    });
  }

  Napi::Value Start(const Napi::CallbackInfo& info, IndexWork::Task task) {
    return (new IndexWork(info, Opened(info.Env()), task))->Start();
  }
  Napi::Value AddPack(const Napi::CallbackInfo& info) {
    return Start(info, [](IndexWork& work) {
      uint32_t count = static_cast<uint32_t>(work.spans[1].length / sizeof(Entry));
      return work.index->AddPacks(work.spans[0].data, &count, 1, reinterpret_cast<const Entry*>(work.spans[1].data),
                                  work.verified);
    });
  }
  // names, entries, counts (little-endian, as the processor has them), verified
  Napi::Value AddPacks(const Napi::CallbackInfo& info) {
    basalt::Span names = basalt::SpanOf(info[0]), entries = basalt::SpanOf(info[1]), counts = basalt::SpanOf(info[2]);
    size_t packs = counts.length / 4, total = 0;
    for (size_t i = 0; i < packs; i++) total += ReadCount(counts.data + i * 4);
    if (names.length != packs * 32 || entries.length != total * sizeof(Entry)) {
      throw Napi::RangeError::New(info.Env(), "addPacks: the counts do not fit");
    }
    return Start(info, [](IndexWork& work) {
      std::vector<uint32_t> counts;
      for (size_t i = 0; i < work.spans[2].length / 4; i++) counts.push_back(ReadCount(work.spans[2].data + i * 4));
      return work.index->AddPacks(work.spans[0].data, counts.data(), counts.size(),
                                  reinterpret_cast<const Entry*>(work.spans[1].data), work.verified);
    });
  }
  Napi::Value DropPacks(const Napi::CallbackInfo& info) {
    return Start(info, [](IndexWork& work) { return work.index->DropPacks(work.spans[0].data, work.spans[0].length / 32); });
  }
  Napi::Value Clear(const Napi::CallbackInfo& info) {
    return Start(info, [](IndexWork& work) { return work.index->Clear(); });
  }
  Napi::Value PackNames(const Napi::CallbackInfo& info) {
    return Start(info, [](IndexWork& work) { return work.index->Names(work.spans[0].data[0], &work.result); });
  }

  Napi::Value Release(const Napi::CallbackInfo& info) {
    basalt::Span entries = basalt::SpanOf(info[0]);
    Opened(info.Env())->Release(reinterpret_cast<const Entry*>(entries.data), entries.length / sizeof(Entry));
    return info.Env().Undefined();
  }

  Napi::Value Suspect(const Napi::CallbackInfo& info) {
    basalt::Span addresses = basalt::SpanOf(info[0]);
    Opened(info.Env())->Suspect(addresses.data, addresses.length / 32);
    return info.Env().Undefined();
  }

  Napi::Value PackName(const Napi::CallbackInfo& info) {
    Index::Reader reader(*Opened(info.Env()));
    uint8_t name[32];
    if (!reader.Name(info[0].As<Napi::Number>().Uint32Value(), name)) return info.Env().Undefined();
    return Napi::Buffer<uint8_t>::Copy(info.Env(), name, sizeof name);
  }

  Napi::Value Statistics(const Napi::CallbackInfo& info) {
    Index::Statistics count{};
    int status = Opened(info.Env())->Count(&count);
    if (status) throw IndexError(info.Env(), "count index", status);
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("blocks", static_cast<double>(count.blocks));
    result.Set("packs", static_cast<double>(count.packs));
    result.Set("bytes", static_cast<double>(count.bytes));
    result.Set("claims", static_cast<double>(count.claims));
    return result;
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    auto close = [](basalt::PackFiles& packs) {
      packs.Close();
      return true;
    };
    if (index_) (new PacksWork(info.Env(), *index_, packs_, close))->Start();
    index_.reset();
    return info.Env().Undefined();
  }

  std::shared_ptr<Index> index_;
  std::shared_ptr<basalt::PackFiles> packs_ = std::make_shared<basalt::PackFiles>();
};

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  auto* constructor = new Napi::FunctionReference(Napi::Persistent(BlockIndex::Define(env)));
  constructor->SuppressDestruct();
  exports.Set("openIndex", Napi::Function::New(env, [constructor](const Napi::CallbackInfo& info) -> Napi::Value {
                return constructor->New({info[0], info[1]});
              }));
});

}  // namespace
