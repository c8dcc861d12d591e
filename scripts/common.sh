# Sourced by the scripts beside it, from the root of the checkout.

cmake_minimum=3.25
tools_folder=$PWD/.cache/tools # programs that scripts/setup had to fetch because the distribution's are too old
export PATH="$tools_folder/bin:$PATH"

cmake_is_recent() {
  local version
  version=$(cmake --version 2>/dev/null | sed -n '1s/.* //p')
  [[ -n "$version" && $(printf '%s\n%s\n' "$cmake_minimum" "$version" | sort -V | head -n 1) == "$cmake_minimum" ]]
}

# Jobs that a build may run at once: one a processor, and about 1.5 GiB of memory for each.
build_jobs() {
  local processors memory_kib by_memory
  processors=$(nproc)
  memory_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
  by_memory=$(( ${memory_kib:-4194304} / 1572864 ))
  (( by_memory < 1 )) && by_memory=1
  echo $(( processors < by_memory ? processors : by_memory ))
}
