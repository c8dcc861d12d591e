#include "app/plot.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <sstream>

#include "app/gnuplot.hpp"
#include "model/error.hpp"

namespace qccl::train {

namespace {

// Distinct for common kinds of colour blindness, and in print.
constexpr const char* kColours[] = {"#1b3a5c", "#d9730d", "#2f8f6b", "#a23b72", "#7a6a00", "#4f7cac", "#b03030", "#5c5c5c"};

const char* colourOf(std::size_t run) { return kColours[run % (sizeof(kColours) / sizeof(kColours[0]))]; }

void writeBlock(std::ostream& out, const std::string& name, const std::map<long long, double>& points) {
  out << "$" << name << " << END_OF_DATA\n";
  for (const auto& [step, value] : points) out << step << " " << value << "\n";
  out << "END_OF_DATA\n";
}

// Percent by which `run` differs from `reference`, at the steps that both have.
std::map<long long, double> gap(const std::map<long long, double>& reference, const std::map<long long, double>& run) {
  std::map<long long, double> result;
  for (const auto& [step, value] : run) {
    const auto found = reference.find(step);
    if (found != reference.end() && found->second != 0) result[step] = (value / found->second - 1) * 100;
  }
  return result;
}

std::map<long long, double> gapOf(const RunCurves& reference, const RunCurves& run) {
  std::map<long long, double> result = gap(reference.valLoss, run.valLoss);
  return result.empty() ? gap(reference.trainLoss, run.trainLoss) : result;
}

// The losses after the first steep fall decide the scale, so that differences between runs can be seen.
std::string lossRange(const std::vector<RunCurves>& runs) {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  for (const RunCurves& run : runs) {
    std::size_t i = 0;
    for (const auto& [step, loss] : run.trainLoss) {
      low = std::min(low, loss);
      if (i++ >= run.trainLoss.size() / 50) high = std::max(high, loss);
    }
    for (const auto& [step, loss] : run.valLoss) {
      low = std::min(low, loss);
      high = std::max(high, loss);
    }
  }
  const double margin = high > low ? (high - low) * 0.04 : 0.1;
  std::ostringstream range;
  range << "[" << low - margin << ":" << high + margin << "]";
  return range.str();
}

long long lastStep(const std::vector<RunCurves>& runs) {
  long long last = 1;
  for (const RunCurves& run : runs) {
    if (!run.trainLoss.empty()) last = std::max(last, run.trainLoss.rbegin()->first);
    if (!run.valLoss.empty()) last = std::max(last, run.valLoss.rbegin()->first);
  }
  return last;
}

}  // namespace

std::string plotScript(const std::vector<RunCurves>& runs, const std::string& path, const PlotOptions& options) {
  std::ostringstream out;
  out.precision(10);
  const bool two = runs.size() > 1;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    writeBlock(out, "train" + std::to_string(r), runs[r].trainLoss);
    writeBlock(out, "val" + std::to_string(r), runs[r].valLoss);
    if (two) writeBlock(out, "gap" + std::to_string(r), gapOf(runs[0], runs[r]));
  }
  out << "set terminal pngcairo noenhanced size " << options.widthPixels << "," << options.heightPixels
      << " font 'sans,11' background '#ffffff'\n"
      << "set output " << gnuplotQuoted(path) << "\n"
      << "set border 3 lc rgb '#606060'\nset tics nomirror\nset grid ytics lc rgb '#e4e4e4' lw 1\n"
      << "set xrange [0:" << lastStep(runs) << "]\n"
      << "set key top right reverse Left samplen 2\nset lmargin 10\nset rmargin 3\n";
  if (two) out << "set multiplot\nset origin 0,0.34\nset size 1,0.66\n";
  out << "set title " << gnuplotQuoted(options.title) << "\nset ylabel 'loss (nats a token)'\n"
      << (two ? "set format x ''\n" : "set xlabel 'step'\n") << "set yrange " << lossRange(runs) << "\nplot ";
  const char* comma = "";
  for (std::size_t r = 0; r < runs.size(); ++r) {
    const std::string title = gnuplotQuoted(runs[r].name);
    if (!runs[r].trainLoss.empty()) {
      out << comma << "$train" << r << " using 1:2 with lines lw 1 lc rgb '" << colourOf(r) << "' "
          << (runs[r].valLoss.empty() ? "title " + title : "notitle");
      comma = ", ";
    }
    if (!runs[r].valLoss.empty()) {
      out << comma << "$val" << r << " using 1:2 with linespoints lw 1.5 dt 2 pt " << 5 + r % 5 * 2 << " ps 1.1 lc rgb '" << colourOf(r)
          << "' title " << gnuplotQuoted(runs[r].name + " (points: validation)");
      comma = ", ";
    }
  }
  out << "\n";
  if (two) {
    out << "set origin 0,0\nset size 1,0.34\nset title\nset format x '%g'\nset xlabel 'step'\nset ylabel "
        << gnuplotQuoted("gap to " + runs[0].name + " (%)")
        << "\nset yrange [*:*]\nset key bottom right\nplot 0 with lines lw 1 dt 3 lc rgb '" << colourOf(0) << "' notitle";
    for (std::size_t r = 1; r < runs.size(); ++r) {
      out << ", $gap" << r << " using 1:2 with linespoints lw 1.5 pt " << 5 + r % 5 * 2 << " ps 1 lc rgb '" << colourOf(r) << "' title "
          << gnuplotQuoted(runs[r].name);
    }
    out << "\nunset multiplot\n";
  }
  out << "unset output\n";
  return out.str();
}

void plotRuns(const std::vector<RunCurves>& runs, const std::string& path, const PlotOptions& options) {
  const std::string temporary = path + ".tmp-" + std::to_string(::getpid());
  std::error_code ignored;
  try {
    runGnuplot(plotScript(runs, temporary, options));
    if (!std::filesystem::exists(temporary)) failTrain("gnuplot wrote no picture; is the folder of ", path, " there and writable?");
    if (std::rename(temporary.c_str(), path.c_str()) != 0) failTrain("cannot write ", path);
  } catch (...) {
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

}  // namespace qccl::train
