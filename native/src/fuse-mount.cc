// FUSE sessions for JavaScript: events go to the main thread's callbacks, answers come back by token.
//
// Threads: events are posted from any thread and delivered on the main one; `unmount` runs on a thread of its own, because
// pool threads may all be waiting for a file of this very mount. A session still mounted when the environment or the
// process ends is detached there.
#include <sys/socket.h>

#include <mutex>
#include <set>
#include <thread>

#include "capability.h"
#include "fuse-session.h"
#include "worker.h"

namespace {

using basalt::FuseEvent;
using basalt::FuseNodeInfo;
using basalt::FuseSession;
using basalt::FuseSource;
using basalt::LayoutSegment;

// What process exit has to detach. Never destroyed: exit handlers run in no order that could be relied upon.
struct Live {
  std::mutex mutex;
  std::set<std::shared_ptr<FuseSession>> sessions;
};

Live& LiveSessions() {
  static Live* live = [] {
    atexit([] {
      std::set<std::shared_ptr<FuseSession>> sessions;
      {
        std::lock_guard lock(LiveSessions().mutex);
        sessions = LiveSessions().sessions;
      }
      for (auto& session : sessions) session->Stop();
    });
    return new Live;
  }();
  return *live;
}

struct Bridge;
void Deliver(Napi::Env env, Napi::Function, Bridge* bridge, FuseEvent* event);
using Events = Napi::TypedThreadSafeFunction<Bridge, FuseEvent, Deliver>;

// Lives until the event function is finalized, on the main thread.
struct Bridge {
  Napi::ObjectReference options;  // keeps the callbacks and the cache memory
  Events events;
  std::shared_ptr<FuseSession> session;
  std::vector<Napi::Promise::Deferred> unmounting;
  std::thread stopper;
  bool stopping = false;
  bool released = false;

  void Call(const char* name, const std::vector<napi_value>& arguments) {
    Napi::Object face = options.Value();
    face.Get(name).As<Napi::Function>().Call(face, arguments);
  }

  void Release() {
    if (released) return;
    released = true;
    {
      std::lock_guard lock(LiveSessions().mutex);
      LiveSessions().sessions.erase(session);
    }
    events.Release();
  }
};

void StopAtCleanup(void* data) {
  Bridge* bridge = static_cast<Bridge*>(data);
  bridge->session->Stop();
  if (bridge->stopper.joinable()) bridge->stopper.join();
}

void Deliver(Napi::Env env, Napi::Function, Bridge* bridge, FuseEvent* posted) {
  std::unique_ptr<FuseEvent> event(posted);
  if (env == nullptr) return;
  auto number = [&](auto value) { return Napi::Number::New(env, static_cast<double>(value)); };
  auto caller = [&]() -> napi_value {
    Napi::Object who = Napi::Object::New(env);
    who.Set("uid", number(event->uid));
    who.Set("gid", number(event->gid));
    return who;
  };
  switch (event->kind) {
    case FuseEvent::Kind::lookup:
      return bridge->Call("onLookup", {number(event->token), caller(), number(event->node), Napi::String::New(env, event->name)});
    case FuseEvent::Kind::readFolder:
      return bridge->Call("onReadFolder", {number(event->token), caller(), number(event->node)});
    case FuseEvent::Kind::readLink:
      return bridge->Call("onReadLink", {number(event->token), caller(), number(event->node)});
    case FuseEvent::Kind::attribute:
      return bridge->Call("onAttribute",
                          {number(event->token), caller(), number(event->node), Napi::String::New(env, event->name)});
    case FuseEvent::Kind::attributes:
      return bridge->Call("onAttributeNames", {number(event->token), caller(), number(event->node)});
    case FuseEvent::Kind::open:
      return bridge->Call("onOpen", {number(event->token), caller(), number(event->node)});
    case FuseEvent::Kind::permit:
      return bridge->Call("onPermit", {number(event->token), caller(), number(event->node)});
    case FuseEvent::Kind::forget:
      return bridge->Call("onForget", {number(event->node)});
    case FuseEvent::Kind::miss:
      return bridge->Call("onMiss", {number(event->token), number(event->node), number(event->offset), number(event->length),
                                     number(event->slot)});
    case FuseEvent::Kind::tree:
      return bridge->Call("onTree", {number(event->node)});
    case FuseEvent::Kind::treeAnswer:
      return bridge->Call("onTreeAnswer", {number(event->node), number(event->token), number(event->length),
                                           Napi::Buffer<uint8_t>::Copy(env, event->body.data(), event->body.size())});
    case FuseEvent::Kind::treeEnd:
      return bridge->Call("onTreeEnd", {number(event->node), number(event->token)});
    case FuseEvent::Kind::end:
      return bridge->Call("onEnd", {});
    case FuseEvent::Kind::stopped:
      if (bridge->stopper.joinable()) bridge->stopper.join();
      for (auto& deferred : bridge->unmounting) deferred.Resolve(env.Undefined());
      bridge->unmounting.clear();
      return bridge->Release();
  }
}

uint64_t TokenOf(const Napi::Value& value) { return static_cast<uint64_t>(basalt::NumberOf(value)); }

std::shared_ptr<const FuseSource> SourceOf(Napi::Object source) {
  auto result = std::make_shared<FuseSource>();
  result->node = TokenOf(source.Get("node"));
  result->bytes = TokenOf(source.Get("sizeBytes"));
  Napi::Array segments = source.Get("segments").As<Napi::Array>();
  for (uint32_t at = 0; at < segments.Length(); at++) {
    Napi::HandleScope scope(source.Env());
    Napi::Object given = segments.Get(at).As<Napi::Object>();
    LayoutSegment segment;
    segment.offset = TokenOf(given.Get("offset"));
    segment.length = TokenOf(given.Get("length"));
    segment.stripeBytes = TokenOf(given.Get("stripeBytes"));
    Napi::Array places = given.Get("places").As<Napi::Array>();
    for (uint32_t place = 0; place < places.Length(); place++) {
      const double number = basalt::NumberOf(places.Get(place));
      segment.places.push_back(number < 0 ? LayoutSegment::kMissing : static_cast<uint64_t>(number));
    }
    if (segment.places.empty() || (segment.places.size() > 1 && segment.stripeBytes == 0)) {
      throw Napi::RangeError::New(source.Env(), "a segment has places, and stripes where it has several");
    }
    result->segments.push_back(std::move(segment));
  }
  return result;
}

void ReplyNode(Bridge* bridge, const Napi::CallbackInfo& info) {
  if (!info[1].IsObject()) return bridge->session->AnswerNode(TokenOf(info[0]), nullptr);
  Napi::Object node = info[1].As<Napi::Object>();
  FuseNodeInfo value;
  value.node = TokenOf(node.Get("node"));
  value.folder = node.Get("folder").ToBoolean();
  value.link = node.Get("link").ToBoolean();
  value.sizeBytes = TokenOf(node.Get("sizeBytes"));
  value.mode = static_cast<uint32_t>(basalt::NumberOf(node.Get("mode")));
  value.modifiedAtMs = basalt::NumberOf(node.Get("modifiedAtMs"));
  value.guarded = node.Get("guarded").ToBoolean();
  if (node.Get("tree").IsNumber()) value.tree = TokenOf(node.Get("tree"));
  if (node.Get("source").IsObject()) value.source = SourceOf(node.Get("source").As<Napi::Object>());
  bridge->session->AnswerNode(TokenOf(info[0]), &value);
}

void ReplyFolder(Bridge* bridge, const Napi::CallbackInfo& info) {
  Napi::Array list = info[1].As<Napi::Array>();
  std::vector<basalt::FuseName> names;
  names.reserve(list.Length());
  for (uint32_t at = 0; at < list.Length(); at++) {
    Napi::HandleScope scope(info.Env());
    Napi::Object entry = list.Get(at).As<Napi::Object>();
    names.push_back({entry.Get("name").As<Napi::String>(), TokenOf(entry.Get("node")), entry.Get("folder").ToBoolean(),
                     entry.Get("link").ToBoolean()});
  }
  bridge->session->AnswerFolder(TokenOf(info[0]), std::move(names));
}

Napi::Value Statistics(Napi::Env env, FuseSession& session) {
  basalt::FuseStatistics values = session.Statistics();
  Napi::Object result = Napi::Object::New(env);
  result.Set("reads", Napi::Number::New(env, static_cast<double>(values.reads)));
  result.Set("hits", Napi::Number::New(env, static_cast<double>(values.hits)));
  result.Set("misses", Napi::Number::New(env, static_cast<double>(values.misses)));
  result.Set("usedSlots", Napi::Number::New(env, static_cast<double>(values.usedSlots)));
  return result;
}

Napi::Value Unmount(Napi::Env env, Bridge* bridge, bool done) {
  Napi::Promise::Deferred deferred = Napi::Promise::Deferred::New(env);
  if (done) {
    deferred.Resolve(env.Undefined());
    return deferred.Promise();
  }
  bridge->unmounting.push_back(deferred);
  if (!bridge->stopping) {
    bridge->stopping = true;
    bridge->stopper = std::thread([bridge] {
      bridge->session->Stop();
      bridge->events.NonBlockingCall(new FuseEvent{FuseEvent::Kind::stopped});
    });
  }
  return deferred.Promise();
}

// What the readers of file systems need.
template <typename Add>
void AddTrees(Add add) {
  add("permit", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->Permit(TokenOf(info[0]), basalt::NumberOf(info[1]));
  });
  add("redirect", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->Redirect(TokenOf(info[0]), TokenOf(info[1]));
  });
  add("attachTree", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->AttachTree(TokenOf(info[0]), TokenOf(info[1]), static_cast<int>(basalt::NumberOf(info[2])));
  });
  add("serveTree", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    Napi::Object given = info[2].As<Napi::Object>();
    basalt::OpenTree tree;
    tree.node = TokenOf(info[0]);
    tree.generation = TokenOf(given.Get("generation"));
    tree.root = TokenOf(given.Get("root"));
    tree.source = SourceOf(given.Get("source").As<Napi::Object>());
    bridge->session->ServeTree(tree.node, TokenOf(info[1]), std::move(tree));
  });
  add("failTree", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->FailTree(TokenOf(info[0]), static_cast<int>(basalt::NumberOf(info[1])));
  });
  add("detachTree", [](Bridge* bridge, const Napi::CallbackInfo& info) { bridge->session->DetachTree(TokenOf(info[0])); });
}

// The object that JavaScript holds. It may outlive the bridge, so it asks `shared` whether there still is one.
Napi::Object MakeFace(Napi::Env env, std::shared_ptr<Bridge*> shared) {
  Napi::Object face = Napi::Object::New(env);
  auto add = [&](const char* name, auto action) {
    face.Set(name, Napi::Function::New(env, [shared, action](const Napi::CallbackInfo& info) {
               if (*shared != nullptr) action(*shared, info);
             }, name));
  };
  AddTrees(add);
  add("replyNode", ReplyNode);
  add("replyFolder", ReplyFolder);
  add("replyLink", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->AnswerLink(TokenOf(info[0]), info[1].As<Napi::String>());
  });
  add("replyAttribute", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    if (!info[1].IsString()) return bridge->session->AnswerAttribute(TokenOf(info[0]), nullptr);
    std::string value = info[1].As<Napi::String>();
    bridge->session->AnswerAttribute(TokenOf(info[0]), &value);
  });
  add("replyOpen", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->AnswerOpen(TokenOf(info[0]), static_cast<int>(basalt::NumberOf(info[1])));
  });
  add("replyError", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    bridge->session->AnswerError(TokenOf(info[0]), static_cast<int>(basalt::NumberOf(info[1])));
  });
  add("fill", [](Bridge* bridge, const Napi::CallbackInfo& info) {
    std::vector<basalt::FuseRange> bad;
    if (info[2].IsArray()) {
      Napi::Array ranges = info[2].As<Napi::Array>();
      for (uint32_t at = 0; at < ranges.Length(); at++) {
        Napi::HandleScope scope(info.Env());
        Napi::Object range = ranges.Get(at).As<Napi::Object>();
        bad.push_back({TokenOf(range.Get("offset")), TokenOf(range.Get("length"))});
      }
    }
    bridge->session->Fill(TokenOf(info[0]), static_cast<int>(basalt::NumberOf(info[1])), bad);
  });
  add("dropNode", [](Bridge* bridge, const Napi::CallbackInfo& info) { bridge->session->DropNode(TokenOf(info[0])); });
  auto last = *shared ? (*shared)->session : nullptr;
  face.Set("statistics", Napi::Function::New(env, [last](const Napi::CallbackInfo& info) {
             return Statistics(info.Env(), *last);
           }, "statistics"));
  face.Set("treeIdleMs", Napi::Function::New(env, [last](const Napi::CallbackInfo& info) {
             return Napi::Number::New(info.Env(), last->TreeIdleMs(TokenOf(info[0])));
           }, "treeIdleMs"));
  face.Set("unmount", Napi::Function::New(env, [shared](const Napi::CallbackInfo& info) {
             return Unmount(info.Env(), *shared, *shared == nullptr || (*shared)->released);
           }, "unmount"));
  return face;
}

class MountWorker : public basalt::Worker {
 public:
  MountWorker(Napi::Env env, Bridge* bridge, std::shared_ptr<Bridge*> shared)
      : Worker(env), bridge_(bridge), shared_(std::move(shared)) {}
  ~MountWorker() override {
    if (failed()) bridge_->Release();
  }

 private:
  void Run() override {
    if (auto failure = bridge_->session->Start()) Fail(failure->syscall, failure->number);
  }
  Napi::Value Value(Napi::Env env) override {
    {
      std::lock_guard lock(LiveSessions().mutex);
      LiveSessions().sessions.insert(bridge_->session);
    }
    return MakeFace(env, shared_);
  }

  Bridge* bridge_;
  std::shared_ptr<Bridge*> shared_;
};

Napi::Value MountFuse(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object options = info[0].As<Napi::Object>();
  basalt::Span cache = basalt::SpanOf(options.Get("cache"));
  basalt::FuseConfiguration configuration;
  configuration.mountPoint = options.Get("mountPoint").As<Napi::String>();
  configuration.name = options.Get("name").As<Napi::String>();
  configuration.memory = cache.data;
  configuration.memoryBytes = cache.length;
  configuration.slotBytes = static_cast<size_t>(basalt::NumberOf(options.Get("slotBytes")));
  configuration.threads = static_cast<uint32_t>(basalt::NumberOf(options.Get("threads")));
  configuration.allowOther = options.Get("allowOther").ToBoolean();
  configuration.callerOwnsAll = options.Get("callerOwnsAll").ToBoolean();
  if (configuration.slotBytes < basalt::kFuseSlotBytesMin || cache.length < 2 * configuration.slotBytes) {
    throw Napi::RangeError::New(env, "mountFuse: the cache holds at least two slots of at least 64 KiB");
  }
  auto* bridge = new Bridge;
  auto shared = std::make_shared<Bridge*>(bridge);
  bridge->options = Napi::Persistent(options);
  bridge->session = std::make_shared<FuseSession>(std::move(configuration), [bridge](FuseEvent&& event) {
    auto* posted = new FuseEvent(std::move(event));
    if (bridge->events.NonBlockingCall(posted) != napi_ok) delete posted;
  });
  bridge->events = Events::New(env, "basalt fuse", 0, 1, bridge, [shared](Napi::Env finalEnv, void*, Bridge* ended) {
    *shared = nullptr;
    napi_remove_env_cleanup_hook(finalEnv, StopAtCleanup, ended);
    ended->session->Stop();
    delete ended;
  });
  // Added after the event function was made, hence run before that is torn down: no thread posts to a dead function.
  napi_add_env_cleanup_hook(env, StopAtCleanup, bridge);
  return (new MountWorker(env, bridge, shared))->Start();
}

// Two ends of a socket, none of which a program that is started gets unless it is handed to it.
Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw basalt::MakeError(env, basalt::Failure{basalt::ErrnoName(errno), "socketpair", errno, -1});
  }
  Napi::Object pair = Napi::Object::New(env);
  pair.Set("ours", Napi::Number::New(env, ends[0]));
  pair.Set("theirs", Napi::Number::New(env, ends[1]));
  return pair;
}

basalt::Capability capability([](Napi::Env env, Napi::Object exports) {
  exports.Set("socketPair", Napi::Function::New(env, SocketPair));
  exports.Set("mountFuse", Napi::Function::New(env, MountFuse));
});

}  // namespace
