// SHA-256 and MD5 by the OpenSSL inside of Node: the fastest code for this CPU, and no second copy of it.
#pragma once
#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>

namespace basalt {

constexpr size_t kSha256Bytes = 32;
constexpr size_t kMd5Bytes = 16;

// Fetched once: looking an algorithm up costs more than hashing a small block.
inline const EVP_MD* Sha256() {
  static const EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  return algorithm;
}
inline const EVP_MD* Md5() {
  static const EVP_MD* algorithm = EVP_MD_fetch(nullptr, "MD5", nullptr);
  return algorithm;
}

// One digest at a time; the context is used again and again.
class Digest {
 public:
  explicit Digest(const EVP_MD* algorithm) : algorithm_(algorithm), context_(EVP_MD_CTX_new()) {}
  ~Digest() { EVP_MD_CTX_free(context_); }
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  bool Begin() { return algorithm_ && context_ && EVP_DigestInit_ex2(context_, algorithm_, nullptr); }
  bool Add(const uint8_t* data, size_t length) { return EVP_DigestUpdate(context_, data, length); }
  bool End(uint8_t* digest) { return EVP_DigestFinal_ex(context_, digest, nullptr); }
  bool Whole(const uint8_t* data, size_t length, uint8_t* digest) {
    return Begin() && Add(data, length) && End(digest);
  }

 private:
  const EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

}  // namespace basalt
