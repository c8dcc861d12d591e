// tokenizer.json: the format of Hugging Face's tokenizers library, the byte-level BPE part of it. JSON strings cannot hold arbitrary bytes,
// so that format spells each byte of a token as one printable character; the table below is part of it.
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/pretokenizer.hpp"
#include "data/tokenizer.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

using Json = nlohmann::ordered_json;

// Printable Latin-1 bytes stand for themselves; the others, in order, are the characters from U+0100 on.
std::array<char32_t, 256> byteCharacters() {
  std::array<char32_t, 256> characters{};
  char32_t next = 0x100;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    characters[byte] = printable ? static_cast<char32_t>(byte) : next++;
  }
  return characters;
}

// All these characters are below U+0800: one or two bytes of UTF-8.
void appendUtf8(std::string& out, char32_t character) {
  if (character < 0x80) {
    out += static_cast<char>(character);
  } else {
    out += static_cast<char>(0xc0 | (character >> 6));
    out += static_cast<char>(0x80 | (character & 0x3f));
  }
}

std::string spell(const std::string& bytes) {
  static const std::array<char32_t, 256> kCharacters = byteCharacters();
  std::string out;
  for (const char byte : bytes) appendUtf8(out, kCharacters[static_cast<unsigned char>(byte)]);
  return out;
}

// Inverse of spell().
std::string unspell(const std::string& text, const std::string& path) {
  static const std::map<char32_t, char> kBytes = [] {
    std::map<char32_t, char> bytes;
    const auto characters = byteCharacters();
    for (std::size_t byte = 0; byte < 256; ++byte) bytes[characters[byte]] = static_cast<char>(byte);
    return bytes;
  }();
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at]);
    char32_t character = first;
    std::size_t length = 1;
    if (first >= 0xc0 && first < 0xe0 && at + 1 < text.size()) {
      character = (static_cast<char32_t>(first & 0x1f) << 6) | (static_cast<unsigned char>(text[at + 1]) & 0x3f);
      length = 2;
    }
    const auto found = kBytes.find(character);
    if (found == kBytes.end()) failTrain(path, ": token '", text, "' is not spelt in the byte-level alphabet");
    out += found->second;
    at += length;
  }
  return out;
}

Json toJson(const Tokenizer& tokenizer) {
  Json vocab = Json::object();
  for (std::size_t id = 0; id < tokenizer.vocabSize(); ++id) {
    if (static_cast<TokenId>(id) == tokenizer.endOfText()) {
      vocab[kEndOfText] = id;
    } else {
      vocab[spell(tokenizer.tokens()[id])] = id;
    }
  }
  Json merges = Json::array();
  for (const Merge& merge : tokenizer.merges())
    merges.push_back(spell(tokenizer.bytesOf(merge.left)) + " " + spell(tokenizer.bytesOf(merge.right)));
  const Json byteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", pieceRegex()}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array({{{"id", tokenizer.endOfText()},
                                         {"content", kEndOfText},
                                         {"single_word", false},
                                         {"lstrip", false},
                                         {"rstrip", false},
                                         {"normalized", false},
                                         {"special", true}}})},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", Json::array({split, byteLevel})}}},
          {"post_processor", nullptr},
          {"decoder", byteLevel},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"vocab", std::move(vocab)},
            {"merges", std::move(merges)}}}};
}

Tokenizer fromJson(const Json& json, const std::string& path) {
  const Json& model = json.at("model");
  if (model.at("type") != "BPE") failTrain(path, ": the model is ", model.at("type").dump(), "; only byte-level \"BPE\" can be used");
  const Json& pretokenizers = json.at("pre_tokenizer").at("pretokenizers");
  if (pretokenizers.size() != 2 || pretokenizers.at(0).at("pattern").at("Regex") != pieceRegex() ||
      pretokenizers.at(1).at("type") != "ByteLevel") {
    failTrain(path, ": it cuts text into pieces by another rule than this program's; make one with `qccl-train prepare`");
  }
  const Json& vocab = model.at("vocab");
  std::vector<std::string> tokens(vocab.size());
  TokenId endOfText = -1;
  for (const auto& [text, idJson] : vocab.items()) {
    const auto id = idJson.get<std::int64_t>();
    if (id < 0 || static_cast<std::size_t>(id) >= tokens.size() || !tokens[static_cast<std::size_t>(id)].empty()) {
      failTrain(path, ": token ids must be 0 to ", tokens.size() - 1, ", each once; '", text, "' has ", id);
    }
    const bool isEnd = text == kEndOfText;
    if (isEnd) endOfText = static_cast<TokenId>(id);
    tokens[static_cast<std::size_t>(id)] = isEnd ? text : unspell(text, path);
  }
  std::vector<Merge> merges;
  for (const Json& merge : model.at("merges")) {
    // "left right", or ["left", "right"] as newer versions of the library write it.
    std::string left, right;
    if (merge.is_array()) {
      left = merge.at(0).get<std::string>();
      right = merge.at(1).get<std::string>();
    } else {
      const auto text = merge.get<std::string>();
      const std::size_t blank = text.find(' ');
      if (blank == std::string::npos) failTrain(path, ": merge '", text, "' has no blank between its two tokens");
      left = text.substr(0, blank);
      right = text.substr(blank + 1);
    }
    if (!vocab.contains(left) || !vocab.contains(right))
      failTrain(path, ": merge '", left, " ", right, "' names a token that is not in the vocabulary");
    merges.push_back({vocab.at(left).get<TokenId>(), vocab.at(right).get<TokenId>()});
  }
  return Tokenizer(std::move(tokens), std::move(merges), endOfText);
}

}  // namespace

void Tokenizer::save(const std::string& path) const {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << toJson(*this).dump(1) << '\n';
    file.close();
    if (!file) failTrain("cannot write ", temporary, "; is the folder there, and is there room?");
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) failTrain("cannot rename ", temporary, " to ", path);
}

Tokenizer Tokenizer::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) failTrain("cannot read the tokenizer ", path, "; `qccl-train prepare` makes one");
  try {
    return fromJson(Json::parse(file), path);
  } catch (const nlohmann::json::exception& error) {
    failTrain(path, " is not a byte-level BPE tokenizer.json: ", error.what());
  }
}

}  // namespace qccl::train
