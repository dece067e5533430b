#include "deliver/gzip.h"

#include <zlib.h>

namespace telem {

Result<std::string> Gzip(std::string_view bytes) {
  constexpr int kGzipFormat = 16;  // added to the window's size, deflateInit2() in zlib.h
  constexpr int kMemoryLevel = 8;
  z_stream stream{};
  if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzipFormat,
                     kMemoryLevel, Z_DEFAULT_STRATEGY) != Z_OK) {
    return Fail(ErrorCode::kNoSpace, "zlib: no memory");
  }
  std::string out(::deflateBound(&stream, bytes.size()), '\0');
  // zlib reads only; its header says so with ZLIB_CONST alone.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int code = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (code != Z_STREAM_END) return Fail(ErrorCode::kIo, "zlib: cannot compress");
  out.shrink_to_fit();
  return out;
}

}  // namespace telem
