# Reads meta_data.json and writes the files hostname, uuid, admin_pass, keys, and files (where the content of a file is,
# and its path) into `dir`.
# A small JSON reader: walks over tokens and keeps the path to the current value.
function unescape(s,    out, i, c) {
  if (index(s, "\\") == 0) return s
  out = ""
  while ((i = index(s, "\\")) > 0) {
    out = out substr(s, 1, i - 1); c = substr(s, i + 1, 1); s = substr(s, i + 2)
    if (c == "n") out = out "\n"
    else if (c == "t") out = out "\t"
    else if (c == "u") { out = out ascii(substr(s, 1, 4)); s = substr(s, 5) }
    else if (c != "r" && c != "b" && c != "f") out = out c
  }
  return out s
}
function ascii(hex,    code) {
  code = (index("0123456789abcdef", tolower(substr(hex, 3, 1))) - 1) * 16 + index("0123456789abcdef", tolower(substr(hex, 4, 1))) - 1
  return substr(hex, 1, 2) == "00" && code >= 32 && code < 127 ? sprintf("%c", code) : "?"
}
function leaf(value,    where, i) {
  where = name[1]
  for (i = 2; i <= depth; i++) where = where "/" name[i]
  if (where == "files//path") path = value
  if (where == "files//content_path") content = value
  if (path != "" && content != "") { print content " " path > (dir "/files"); path = content = "" }
  if (where == "hostname" || where == "uuid" || where == "admin_pass") print value > (dir "/" where)
  else if (where ~ /^public_keys\// || where ~ /^keys\/\/data$/) {
    # both lists name the same keys
    gsub(/\n+$/, "", value)
    if (value != "" && !(value in seen)) { seen[value] = 1; print value > (dir "/keys") }
  }
}
{ text = text $0 "\n" }
END {
  depth = 0; wantname = 0
  while (match(text, /"([^"\\]|\\.)*"|[][{}:,]|[^][{}:, \t\r\n"]+/)) {
    token = substr(text, RSTART, RLENGTH); text = substr(text, RSTART + RLENGTH); first = substr(token, 1, 1)
    if (token == "{" || token == "[") { depth++; kind[depth] = token; name[depth] = ""; wantname = token == "{" }
    else if (token == "}" || token == "]") { depth--; wantname = 0 }
    else if (token == ",") wantname = kind[depth] == "{"
    else if (token == ":") wantname = 0
    else {
      if (first == "\"") token = unescape(substr(token, 2, length(token) - 2))
      if (wantname) name[depth] = token
      else leaf(token)
    }
  }
}
