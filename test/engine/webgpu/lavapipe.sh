#!/bin/sh
# Mesa's software adapter for Vulkan of Debian's backports, unpacked into a folder: onnxruntime's WebGPU refuses the one of Debian 12.
# Nothing is installed. The sources are this machine's own, with the suite exchanged.
#
#   lavapipe.sh FOLDER      prints what the environment needs, line by line
set -eu

folder=$1
mkdir -p "$folder/lists/partial" "$folder/archives/partial" "$folder/root"
. /etc/os-release
for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list; do
  [ -e "$file" ] || continue
  # The stanzas of the release itself, and its backports from the same place; the same of one-line sources.
  sed "/-security/d; s/^Suites:.*/Suites: $VERSION_CODENAME $VERSION_CODENAME-backports/" "$file" |
    awk -v RS= -v ORS='\n\n' '/Suites:/ && /URIs:/' >> "$folder/debian.sources"
  sed -n "s/^\(deb .*\) $VERSION_CODENAME \(.*\)/\1 $VERSION_CODENAME \2\n\1 $VERSION_CODENAME-backports \2/p" "$file" >> "$folder/debian.list"
done
options="-o Dir::Etc::sourcelist=$folder/debian.list -o Dir::Etc::sourceparts=$folder/parts -o Dir::State::lists=$folder/lists
  -o Dir::Cache::archives=$folder/archives -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=
  -o Debug::NoLocking=1 -o Acquire::Languages=none"
mkdir -p "$folder/parts"
mv "$folder/debian.sources" "$folder/parts/"
apt-get $options update -qq >&2
apt-get $options install -qq --download-only --no-install-recommends -y -t "$VERSION_CODENAME-backports" \
  mesa-vulkan-drivers libvulkan1 >&2
for package in "$folder"/archives/*.deb; do dpkg-deb -x "$package" "$folder/root"; done
rm -r "$folder/archives" "$folder/lists"
library=$(dirname "$(find "$folder/root" -name 'libvulkan_lvp.so' | head -n 1)")
sed "s#\"library_path\".*:.*\".*\"#\"library_path\": \"$library/libvulkan_lvp.so\"#" \
  "$(find "$folder/root" -name 'lvp_icd*.json' | head -n 1)" > "$folder/lavapipe.json"
echo "LD_LIBRARY_PATH=$library:$folder/root/lib/$(basename "$library")"
echo "VK_ICD_FILENAMES=$folder/lavapipe.json"
