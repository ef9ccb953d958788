// A guide has the theme that the reader has chosen for the page.

import {start, themeSwitch} from './theme.js';

start();
document.querySelector('footer').prepend(themeSwitch());
