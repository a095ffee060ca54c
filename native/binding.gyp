{
  "variables": {
    "blake3": "<!(mkdir -p build/blake3 && cp -pu $(ls -d /usr/share/cargo/registry/blake3-*/c | tail -n 1)/* build/blake3 && echo build/blake3)",
    "napi": "<!(node -p \"require('node-addon-api').include_dir\")"
  },
  "targets": [
    {
      "target_name": "basalt_blake3",
      "type": "static_library",
      "sources": [
        "<(blake3)/blake3.c",
        "<(blake3)/blake3_dispatch.c",
        "<(blake3)/blake3_portable.c"
      ],
      "cflags": ["-O3", "-fPIC", "-fvisibility=hidden"],
      "conditions": [
        ["target_arch=='x64'", {
          "sources": [
            "<(blake3)/blake3_sse2_x86-64_unix.S",
            "<(blake3)/blake3_sse41_x86-64_unix.S",
            "<(blake3)/blake3_avx2_x86-64_unix.S",
            "<(blake3)/blake3_avx512_x86-64_unix.S"
          ]
        }],
        ["target_arch=='arm64'", { "sources": ["<(blake3)/blake3_neon.c"] }]
      ]
    },
    {
      "target_name": "basalt_native",
      "dependencies": ["basalt_blake3"],
      "sources": ["<!@(ls src/*.cc)"],
      "include_dirs": ["<(napi)", "<(blake3)", "/usr/include/fuse3"],
      "defines": ["NAPI_VERSION=9", "NAPI_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "FUSE_USE_VERSION=312", "_FILE_OFFSET_BITS=64"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17"],
      "cflags_cc": ["-std=c++20", "-O2", "-g1", "-fexceptions", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-Wno-cast-function-type", "-fvisibility=hidden"],
      "libraries": ["-lzstd", "-lz", "-lbz2", "-llmdb", "-lfuse3", "-lpthread"]
    },
    {
      "target_name": "basalt_reader",
      "type": "executable",
      "sources": ["<!@(ls reader/*.cc)"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17"],
      "cflags_cc": ["-std=c++20", "-O2", "-g1", "-fexceptions", "-Wall", "-Wextra", "-Werror", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong", "-fPIE"],
      "ldflags": ["-pie", "-Wl,-z,relro,-z,now"],
      "libraries": ["-lpthread"]
    }
  ]
}
