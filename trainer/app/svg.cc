#include "app/svg.hpp"

#include <cstdio>

namespace qccl::train {
namespace {

template <typename... Values>
std::string format(const char* how, Values... values) {
  char text[512];
  std::snprintf(text, sizeof(text), how, values...);
  return text;
}

}  // namespace

std::string escapeXml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '&':
        escaped += "&amp;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        // Other control characters may not stand in XML at all.
        escaped += static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return escaped;
}

void Svg::box(double x, double y, double width, double height, const char* fill, const std::string& tip) {
  body_ += format("  <rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" stroke=\"#ffffff\"", x, y, width, height, fill);
  body_ += tip.empty() ? "/>\n" : "><title>" + escapeXml(tip) + "</title></rect>\n";
}

void Svg::line(double x1, double y1, double x2, double y2, const char* stroke) {
  body_ += format("  <path d=\"M%.1f %.1f L%.1f %.1f\" stroke=\"%s\" stroke-dasharray=\"4 3\"/>\n", x1, y1, x2, y2, stroke);
}

void Svg::text(double x, double y, std::string_view words, const TextStyle& style) {
  constexpr const char* kAnchors[] = {"start", "middle", "end"};
  body_ += format("  <text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" font-size=\"%g\" fill=\"%s\"%s>", x, y,
                  kAnchors[static_cast<int>(style.anchor)], style.size, style.fill, style.bold ? " font-weight=\"bold\"" : "");
  body_ += escapeXml(words) + "</text>\n";
}

std::string Svg::file(double width, double height) const {
  return format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\">\n", width, height) +
         format("  <rect width=\"%.0f\" height=\"%.0f\" fill=\"#ffffff\"/>\n", width, height) + body_ + "</svg>\n";
}

}  // namespace qccl::train
