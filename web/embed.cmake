# Writes OUTPUT, a C++ file that holds HTML, SCRIPT, STYLE and ICON (web_assets.h).
set(arrays "")
set(table "")
set(count 0)

function(add_asset path file type)
  file(READ ${file} hex HEX)
  file(SHA256 ${file} digest)
  string(SUBSTRING ${digest} 0 16 etag)
  string(LENGTH "${hex}" digits)
  math(EXPR size "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  set(arrays "${arrays}constexpr unsigned char kAsset${count}[] = {${bytes}};\n" PARENT_SCOPE)
  set(table "${table}    {\"${path}\", \"${type}\", \"\\\"${etag}\\\"\",\n     {reinterpret_cast<const char*>(kAsset${count}), ${size}}},\n" PARENT_SCOPE)
  math(EXPR count "${count} + 1")
  set(count ${count} PARENT_SCOPE)
endfunction()

add_asset("/" ${HTML} "text/html; charset=utf-8")
add_asset("/page.js" ${SCRIPT} "text/javascript; charset=utf-8")
add_asset("/page.css" ${STYLE} "text/css; charset=utf-8")
add_asset("/icon.svg" ${ICON} "image/svg+xml")

file(WRITE ${OUTPUT} "#include \"web_assets.h\"

namespace telem {
namespace {

${arrays}
}  // namespace

std::span<const WebAsset> WebAssets() {
  static const WebAsset assets[] = {
${table}  };
  return assets;
}

}  // namespace telem
")
