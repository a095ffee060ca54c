// Requests in, answers out: see server.h.
#include "server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

namespace reader {

namespace {

constexpr size_t kHeadBytes = 25;

class Out {
 public:
  void U8(uint8_t value) { bytes_.push_back(value); }
  void U32(uint32_t value) { Number(value, 4); }
  void U64(uint64_t value) { Number(value, 8); }
  void Text(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    Raw(text);
  }
  void Raw(std::string_view text) { bytes_.insert(bytes_.end(), text.begin(), text.end()); }
  void Put(const Attributes& of) {
    U64(of.node);
    for (uint32_t value : {of.mode, of.links, of.uid, of.gid, of.deviceMajor, of.deviceMinor}) U32(value);
    U64(of.size);
    U64(std::min(of.usedBytes, kFileBytesMax));
    for (const Time& time : {of.accessed, of.modified, of.changed}) {
      U64(static_cast<uint64_t>(time.seconds));
      U32(time.nanoseconds);
    }
  }
  uint8_t* Grow(size_t count) {
    const size_t before = bytes_.size();
    bytes_.resize(before + count);
    return bytes_.data() + before;
  }
  void Cut(size_t count) { bytes_.resize(bytes_.size() - count); }
  void Set(size_t at, uint32_t value) { memcpy(bytes_.data() + at, &value, 4); }
  size_t size() const { return bytes_.size(); }
  const std::vector<uint8_t>& bytes() const { return bytes_; }

 private:
  void Number(uint64_t value, size_t count) {
    for (size_t at = 0; at < count; ++at) bytes_.push_back(static_cast<uint8_t>(value >> (8 * at)));
  }
  std::vector<uint8_t> bytes_;
};

struct Request {
  uint32_t id = 0;
  Operation operation{};
  uint64_t node = 0;
  uint64_t offset = 0;
  uint32_t length = 0;
  std::string name;
};

bool ReceiveAll(int socket, uint8_t* out, size_t length) {
  while (length > 0) {
    ssize_t count = recv(socket, out, length, MSG_WAITALL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    out += count;
    length -= static_cast<size_t>(count);
  }
  return true;
}

bool SendAll(int socket, const std::vector<uint8_t>& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    ssize_t count = send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    sent += static_cast<size_t>(count);
  }
  return true;
}

// What there is to know of a file besides its attributes, and its content where that is small.
void Gather(FileSystem& files, const Attributes& of, Out* out) {
  const bool small = S_ISREG(of.mode) && of.size <= kGatherFileBytesMax;
  out->U8(kWithDetails | (small ? kWithContent : 0));
  out->Text(S_ISLNK(of.mode) ? files.ReadLink(of.node) : std::string());
  const std::vector<NamedValue> attributes = files.ExtendedAttributes(of.node);
  out->U32(static_cast<uint32_t>(attributes.size()));
  for (const NamedValue& attribute : attributes) {
    out->Text(attribute.name);
    out->Text(attribute.value);
  }
  if (!small) return;
  std::string content(static_cast<size_t>(of.size), '\0');
  content.resize(files.Read(of.node, 0, reinterpret_cast<uint8_t*>(content.data()), content.size()));
  out->Text(content);
}

// An entry of a list; with `gather`, with all that comes behind it.
Out EntryOf(FileSystem& files, const Entry& entry, bool gather) {
  Out out;
  Attributes attributes;
  try {
    attributes = files.Stat(entry.node);
  } catch (const Failure&) {
    // A name whose inode is damaged is a name all the same: who asks for it learns why.
    attributes.node = entry.node <= kNodeMax ? entry.node : 0;
    attributes.mode = entry.kind;
    attributes.links = 0;
  }
  out.U64(entry.position);
  out.Put(attributes);
  out.Text(entry.name);
  if (!gather) return out;
  const size_t before = out.size();
  try {
    if (attributes.links == 0) Fail(EIO, "there is no more to know");
    Gather(files, attributes, &out);
  } catch (const Failure&) {
    out.Cut(out.size() - before);
    out.U8(0);
  }
  return out;
}

void List(FileSystem& files, const Request& request, bool gather, Out* out) {
  const size_t endedAt = out->size();
  out->U8(1);
  uint8_t ended = 1;
  files.List(request.node, request.offset, [&](Entry&& entry) {
    Out one = EntryOf(files, entry, gather);
    const bool first = out->size() == endedAt + 1;
    if (out->size() + one.size() > request.length) {
      ended = first ? 1 : 0;
      if (!first) return false;
      // One that is too long by itself comes without what makes it so.
      if (gather) {
        one = EntryOf(files, entry, false);
        one.U8(0);
      }
    }
    out->Raw({reinterpret_cast<const char*>(one.bytes().data()), one.size()});
    return true;
  });
  *(const_cast<uint8_t*>(out->bytes().data()) + endedAt) = ended;
}

void Locate(FileSystem& files, const Request& request, Out* out) {
  const Attributes file = files.Stat(request.node);
  out->Put(file);
  uint64_t offset = request.offset;
  for (uint32_t count = std::min(request.length, kPiecesMax); count > 0 && offset < file.size; --count) {
    Piece piece;
    try {
      piece = files.Locate(request.node, offset);
    } catch (const Failure&) {
      // What lies before the damage can be read; who comes to it learns why.
      if (offset > request.offset) return;
      throw;
    }
    const uint64_t skip = offset - piece.offset;
    if (piece.offset > offset || piece.length <= skip) Damaged("a list of extents is damaged");
    const uint64_t length = std::min(piece.length - skip, file.size - offset);
    out->U64(offset);
    out->U64(length);
    out->U8(static_cast<uint8_t>(piece.where));
    out->U64(piece.place + skip);
    offset += length;
  }
}

std::string AttributeOf(FileSystem& files, const Request& request) {
  for (NamedValue& attribute : files.ExtendedAttributes(request.node)) {
    if (attribute.name == request.name) return std::move(attribute.value);
  }
  Fail(ENODATA, "there is no such attribute");
}

void Answer(FileSystem& files, const Request& request, Out* out) {
  switch (request.operation) {
    case Operation::kStat: out->Put(files.Stat(request.node)); return;
    case Operation::kLookup: out->Put(files.Stat(files.Lookup(request.node, request.name))); return;
    case Operation::kList: List(files, request, false, out); return;
    case Operation::kGather: List(files, request, true, out); return;
    case Operation::kReadLink: out->Raw(files.ReadLink(request.node)); return;
    case Operation::kRead: {
      uint8_t* memory = out->Grow(request.length);
      out->Cut(request.length - files.Read(request.node, request.offset, memory, request.length));
      return;
    }
    case Operation::kNextData: {
      const Range range = files.NextData(request.node, request.offset);
      out->U64(range.offset);
      out->U64(range.length);
      return;
    }
    case Operation::kAttributeNames:
      for (const NamedValue& attribute : files.ExtendedAttributes(request.node)) {
        out->Raw(attribute.name);
        out->U8(0);
      }
      return;
    case Operation::kLocate: Locate(files, request, out); return;
    case Operation::kAttribute: out->Raw(AttributeOf(files, request)); return;
  }
  Fail(ENOSYS, "there is no such operation");
}

Out AnswerTo(uint32_t id, const std::function<void(Out*)>& fill) {
  Out out;
  out.U32(0);
  out.U32(id);
  out.U32(0);
  try {
    fill(&out);
  } catch (const Failure& failure) {
    out.Cut(out.size() - 12);
    out.Set(8, static_cast<uint32_t>(failure.number));
    out.Raw(failure.why);
  } catch (const std::bad_alloc&) {
    out.Cut(out.size() - 12);
    out.Set(8, ENOMEM);
  }
  out.Set(0, static_cast<uint32_t>(out.size() - 4));
  return out;
}

Out AnswerDescription(const Description& about) {
  return AnswerTo(0, [&](Out* out) {
    for (const std::string& text : {about.kind, about.label, about.uuid}) out->Text(text);
    out->U64(about.root);
    out->U32(about.blockBytes);
    out->U64(about.totalBytes);
    out->U32(static_cast<uint32_t>(about.notes.size()));
    for (const std::string& note : about.notes) out->Text(note);
  });
}

// False where the other end has gone.
bool Receive(int socket, Request* request) {
  uint8_t head[4 + kHeadBytes];
  if (!ReceiveAll(socket, head, sizeof(head))) return false;
  Bytes bytes(head, sizeof(head));
  const uint32_t length = bytes.Le32(0);
  request->id = bytes.Le32(4);
  request->operation = static_cast<Operation>(bytes.U8(8));
  request->node = bytes.Le64(9);
  request->offset = bytes.Le64(17);
  request->length = bytes.Le32(25);
  if (length < kHeadBytes || length - kHeadBytes > kNameBytesMax || request->length > kAnswerBytesMax) _exit(2);
  request->name.resize(length - kHeadBytes);
  return ReceiveAll(socket, reinterpret_cast<uint8_t*>(request->name.data()), request->name.size());
}

}  // namespace

void Serve(int socket, const std::function<std::unique_ptr<FileSystem>()>& open, unsigned threads,
           const std::function<void()>& beforeFirstRead) {
  std::mutex opening;
  std::unique_lock hold(opening);
  std::mutex receiving;
  std::mutex sending;
  std::unique_ptr<FileSystem> files;
  auto serve = [&] {
    { std::lock_guard wait(opening); }
    for (;;) {
      Request request;
      {
        std::lock_guard lock(receiving);
        // Threads can't end one by one without calls that the sandbox need not allow: they end together.
        if (files == nullptr || !Receive(socket, &request)) _exit(0);
      }
      const Out out = AnswerTo(request.id, [&](Out* fill) { Answer(*files, request, fill); });
      std::lock_guard lock(sending);
      if (!SendAll(socket, out.bytes())) _exit(0);
    }
  };
  // All threads there will ever be exist before the first byte of the image is read.
  std::vector<std::thread> workers;
  for (unsigned count = 1; count < threads; ++count) workers.emplace_back(serve);
  beforeFirstRead();
  Out first = AnswerTo(0, [&](Out*) { files = open(); });
  if (files != nullptr) first = AnswerDescription(files->About());
  if (!SendAll(socket, first.bytes())) _exit(0);
  hold.unlock();
  serve();
}

}  // namespace reader
