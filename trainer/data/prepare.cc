#include "data/prepare.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/bpe_trainer.hpp"
#include "data/hashing.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

enum class Use : std::uint8_t { leftOut, train, val };

struct Entry {
  std::uint64_t hash;
  std::uint64_t bytes;
};

// Independent orders of the documents, drawn from their hashes.
std::uint64_t sampleOrder(std::uint64_t hash) { return mix64(hash ^ 0x73616d706c650001ULL); }
std::uint64_t splitOrder(std::uint64_t hash) { return mix64(hash ^ 0x73706c6974000002ULL); }
std::uint64_t tokenizerOrder(std::uint64_t hash) { return mix64(hash ^ 0x746f6b656e000003ULL); }

struct Selection {
  std::unordered_map<std::uint64_t, Use> uses;  // by hash
  std::vector<Entry> train;
};

// Orders by a hash, by the hash itself where two fall together.
template <typename Order>
void sortBy(std::vector<Entry>& entries, Order order) {
  std::sort(entries.begin(), entries.end(), [&](const Entry& a, const Entry& b) {
    const std::uint64_t left = order(a.hash);
    const std::uint64_t right = order(b.hash);
    return left != right ? left < right : a.hash < b.hash;
  });
}

Selection select(std::vector<Entry> entries, const PrepareOptions& options, PrepareResult& result) {
  if (options.maxBytes > 0) {
    sortBy(entries, sampleOrder);
    std::uint64_t total = 0;
    std::size_t count = 0;
    while (count < entries.size() && total + entries[count].bytes <= options.maxBytes) total += entries[count++].bytes;
    result.leftOut = entries.size() - count;
    entries.resize(count);
  }
  Selection selection;
  sortBy(entries, splitOrder);
  const double fraction = options.valFraction;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const bool below = static_cast<double>(splitOrder(entries[i].hash)) < fraction * 0x1p64;
    // At least one of each, however few documents there are.
    const bool isVal = fraction > 0 && (below || i == 0) && i + 1 < entries.size();
    selection.uses[entries[i].hash] = isVal ? Use::val : Use::train;
    if (!isVal) selection.train.push_back(entries[i]);
  }
  if (selection.train.empty() || (fraction > 0 && entries.size() < 2)) {
    failTrain("found ", entries.size(), " different documents of text", options.maxBytes > 0 ? " within --max-bytes" : "",
              "; at least two are needed, one to train on and one to validate on");
  }
  return selection;
}

Tokenizer learnTokenizer(const DocumentReader& reader, Selection& selection, const PrepareOptions& options, PrepareResult& result) {
  sortBy(selection.train, tokenizerOrder);
  std::unordered_map<std::uint64_t, bool> learned;  // hash -> counted already
  std::uint64_t total = 0;
  for (const Entry& entry : selection.train) {
    if (!learned.empty() && total + entry.bytes > options.tokenizerBytes) break;
    total += entry.bytes;
    learned.emplace(entry.hash, false);
  }
  BpeTrainer trainer;
  reader.forEach([&](std::string_view text) {
    const auto found = learned.find(hashBytes(text, options.seed));
    if (found == learned.end() || found->second) return;
    found->second = true;
    trainer.add(text);
  });
  result.tokenizerBytes = trainer.bytes();
  return trainer.train(options.vocab);
}

void writeManifest(const PrepareOptions& options, const PrepareResult& result, const Tokenizer& tokenizer) {
  const auto file = [](const char* name, const TokenFileInfo& info) {
    char checksum[16];
    std::snprintf(checksum, sizeof(checksum), "%08x", info.checksum);
    return nlohmann::ordered_json{{"file", name},          {"documents", info.documents},        {"text_bytes", info.textBytes},
                                  {"tokens", info.tokens}, {"bytes_per_token", info.tokenBytes}, {"crc32", checksum}};
  };
  char fingerprint[24];
  std::snprintf(fingerprint, sizeof(fingerprint), "%016llx", static_cast<unsigned long long>(tokenizer.fingerprint()));
  const nlohmann::ordered_json manifest = {{"format", "qccl-train data"},
                                           {"version", 1},
                                           {"vocab", result.vocab},
                                           {"tokenizer", "tokenizer.json"},
                                           {"tokenizer_fingerprint", fingerprint},
                                           {"train", file("train.bin", result.train)},
                                           {"val", file("val.bin", result.val)},
                                           {"sources", options.paths},
                                           {"seed", options.seed},
                                           {"val_fraction", options.valFraction},
                                           {"max_bytes", options.maxBytes},
                                           {"files", result.found.files},
                                           {"files_not_text", result.found.binary},
                                           {"files_unreadable", result.found.unreadable},
                                           {"documents_found", result.found.documents},
                                           {"documents_duplicate", result.duplicates},
                                           {"documents_left_out", result.leftOut}};
  const std::string path = options.outFolder + "/manifest.json";
  const std::string temporary = path + ".tmp";
  std::ofstream out(temporary, std::ios::trunc);
  out << manifest.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
  out.close();
  if (!out || std::rename(temporary.c_str(), path.c_str()) != 0) failTrain("cannot write ", path);
}

}  // namespace

PrepareResult prepare(const PrepareOptions& options) {
  if (options.paths.empty()) failTrain("name at least one file or folder of text");
  if (!(options.valFraction >= 0 && options.valFraction < 1))
    failTrain("a validation fraction of ", options.valFraction, " is not in [0, 1)");
  std::error_code error;
  std::filesystem::create_directories(options.outFolder, error);
  if (error) failTrain("cannot make the folder ", options.outFolder, ": ", error.message());

  PrepareResult result;
  const DocumentReader reader(options.paths, options.documents);
  std::vector<Entry> entries;
  {
    std::unordered_map<std::uint64_t, bool> seen;
    result.found = reader.forEach([&](std::string_view text) {
      const std::uint64_t hash = hashBytes(text, options.seed);
      if (seen.emplace(hash, true).second) {
        entries.push_back({hash, text.size()});
      } else {
        ++result.duplicates;
      }
    });
  }
  Selection selection = select(std::move(entries), options, result);
  const Tokenizer tokenizer =
      options.tokenizer.empty() ? learnTokenizer(reader, selection, options, result) : Tokenizer::load(options.tokenizer);
  result.vocab = tokenizer.vocabSize();

  TokenFileWriter train(options.outFolder + "/train.bin", tokenizer);
  TokenFileWriter val(options.outFolder + "/val.bin", tokenizer);
  Tokenizer::PieceCache cache;
  std::vector<TokenId> ids;
  reader.forEach([&](std::string_view text) {
    const auto found = selection.uses.find(hashBytes(text, options.seed));
    if (found == selection.uses.end() || found->second == Use::leftOut) return;
    ids.clear();
    tokenizer.encode(text, cache, ids);
    ids.push_back(tokenizer.endOfText());
    (found->second == Use::val ? val : train).append(ids, text.size());
    found->second = Use::leftOut;  // a second document with the same bytes is a duplicate
  });
  tokenizer.save(options.outFolder + "/tokenizer.json");
  result.train = train.finish();
  result.val = val.finish();
  writeManifest(options, result, tokenizer);
  return result;
}

}  // namespace qccl::train
