# Sourced by the scripts beside it, from the root of the checkout.

cmake_minimum=3.25
tools_folder=$PWD/.cache/tools # programs that scripts/setup had to fetch because the distribution's are too old
torch_python=$PWD/.cache/python/bin/python # has PyTorch and pytest, for the tests of plugins/torch (scripts/setup_torch)
export PATH="$tools_folder/bin:$PATH"

cmake_is_recent() {
  local version
  version=$(cmake --version 2>/dev/null | sed -n '1s/.* //p')
  [[ -n "$version" && $(printf '%s\n%s\n' "$cmake_minimum" "$version" | sort -V | head -n 1) == "$cmake_minimum" ]]
}

# Installs those of "$@" that are missing.
install_packages() {
  local installed package missing=() as_root=()
  installed=$(dpkg-query -W -f='${Package}=${db:Status-Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    grep -qxF "$package=installed" <<<"$installed" || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $(id -u) -ne 0 ]]; then
    # sudo may ask for a password only where somebody can type one.
    if ! { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; }; then
      echo "$0: packages are missing, and this user cannot become root. Ask an administrator to run:" >&2
      echo "  apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  echo "$0: installing ${missing[*]}"
  local apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  "${apt_get[@]}" update || echo "$0: apt-get update failed; going on with the package lists that are here" >&2
  if ! "${apt_get[@]}" install --no-install-recommends "${missing[@]}" >/dev/null; then
    echo "$0: apt-get could not install ${missing[*]}; its messages above say why" >&2
    exit 1
  fi
}

# Sets `text_sources` to files and folders with text that is on this machine: Python's standard library, which every machine has that has run scripts/setup, without
# the packages that were installed into its folder; headers and documentation where there is little of it. `text_folders` are the folders that this comes from.
find_text() {
  local stdlib text_bytes=0 folder
  stdlib=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  text_sources=()
  text_folders=()
  for folder in "$stdlib" /usr/include /usr/share/doc; do
    [[ -d "$folder" && $text_bytes -lt 4000000 ]] || continue
    local found=("$folder")
    if [[ "$folder" == "$stdlib" ]]; then
      mapfile -t found < <(find "$stdlib" -mindepth 1 -maxdepth 1 \( -type d ! -name site-packages ! -name dist-packages -o -type f -name '*.py' \) | LC_ALL=C sort)
    fi
    [[ ${#found[@]} -gt 0 ]] || continue
    text_folders+=("$folder")
    text_sources+=("${found[@]}")
    text_bytes=$(( text_bytes + $(du -sbLc "${found[@]}" 2>/dev/null | tail -n 1 | cut -f 1 || echo 0) ))
  done
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
